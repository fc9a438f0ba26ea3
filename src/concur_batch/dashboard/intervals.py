"""Samples of all engines added up over equal intervals of the last minutes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from concur_batch.dashboard.pace import LATE_S, SPAN_S, recent
from concur_batch.records import Sampled
from concur_batch.state import EngineView, RunState

_STEPS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)

_MOST_SAMPLES, _LEAST_SAMPLES = 4_000, 30  # that a drawing looks at: of all engines, of each


@dataclass(slots=True)
class _Part:
    """One engine's part in an interval. None: not told."""

    seconds: float = 0.0  # that its samples stand for
    generated: float = 0.0
    prefilled: float | None = None
    queue: float | None = None  # times seconds
    runs: float | None = None  # likewise

    def add(self, sample: Sampled, seconds: float) -> None:
        """Take one in, which stands for so many seconds."""
        self.seconds += seconds
        self.generated += sample.generated_tokens
        if sample.prefill_tokens is not None:
            self.prefilled = (self.prefilled or 0.0) + sample.prefill_tokens
        if sample.queued_requests is not None:
            self.queue = (self.queue or 0.0) + sample.queued_requests * seconds
        if sample.running_requests is not None:
            self.runs = (self.runs or 0.0) + sample.running_requests * seconds


@dataclass(slots=True)
class Interval:
    """Sums over samples, and what follows from them; None: not told."""

    engines: int = 1
    samples: int = 0
    prompt: float = 0.0  # of those that tell what was cached
    cached: float = 0.0
    history: float = 0.0  # of those that tell what was missed
    missed: float = 0.0
    parts: dict[str, _Part] = field(default_factory=dict)  # of the engines that were sampled in it

    def add(self, sample: Sampled, seconds: float) -> None:
        """Take one in, which stands for so many seconds."""
        self.samples += 1
        if sample.cached_tokens is not None:
            self.prompt += sample.prompt_tokens
            self.cached += sample.cached_tokens
        if sample.missed_tokens is not None:
            self.history += sample.history_tokens
            self.missed += sample.missed_tokens
        part = self.parts.get(sample.engine)
        if part is None:
            part = self.parts[sample.engine] = _Part()
        part.add(sample, seconds)

    @property
    def is_whole(self) -> bool:
        """Whether every engine has a part in it."""
        return len(self.parts) == self.engines

    @property
    def hit(self) -> float | None:
        """Share of the prompt tokens that came from the cache."""
        return self.cached / self.prompt if self.prompt > 0 else None

    @property
    def miss(self) -> float | None:
        """Share of the history that was prefilled again."""
        return self.missed / self.history if self.history > 0 else None

    @property
    def prefill(self) -> float | None:
        """Tokens per second, all engines together."""
        return self._together([(part.prefilled, part.seconds) for part in self.parts.values()])

    @property
    def decode(self) -> float | None:
        """Tokens per second, all engines together."""
        return self._together([(part.generated, part.seconds) for part in self.parts.values()])

    @property
    def queued(self) -> float | None:
        """Requests in the queues of all engines together, on average."""
        return self._together([(part.queue, part.seconds) for part in self.parts.values()])

    @property
    def running(self) -> float | None:
        """Requests that run on all engines together, on average."""
        return self._together([(part.runs, part.seconds) for part in self.parts.values()])

    def _together(self, sums: Sequence[tuple[float | None, float]]) -> float | None:
        """Each engine's own, however often it is sampled, added up; those that were not sampled are taken to be like the others."""
        told = [amount / seconds for amount, seconds in sums if amount is not None and seconds > 0]
        return sum(told) * self.engines / len(self.parts) if told else None


def gather(state: RunState, now: float, columns: int) -> tuple[float, list[Interval]]:
    """The width of an interval in seconds, and the newest `columns` of them up to now, oldest first.

    Their bounds stay where they are as time goes on, so that a chart of them moves and does not shimmer. Of many engines less far
    back, so that a drawing costs no more.
    """
    engines = list(state.engines.values())
    most = max(_LEAST_SAMPLES, _MOST_SAMPLES // max(1, len(engines)))
    told = [_newest(engine.samples, most) for engine in engines]
    oldest = min((samples[0][0].t for samples in told if samples), default=now)
    span = now - oldest
    step = next((step for step in _STEPS if step * columns >= span), _STEPS[-1])
    found = [Interval(engines=len(engines)) for _ in range(columns)]
    if not math.isfinite(now):
        return step, found
    last = math.ceil(now / step)
    for samples in told:
        for sample, seconds in samples:
            place = columns - 1 - (last - math.ceil(sample.t / step)) if math.isfinite(sample.t) else -1
            if 0 <= place < columns:
                found[place].add(sample, seconds)
    return step, found


def total(state: RunState, now: float) -> Interval:
    """All engines over the last seconds; in silence less and less."""
    found = Interval(engines=len(state.engines))
    for engine in state.engines.values():
        told = sum(1 for _ in recent(engine, now))
        if not told:
            continue
        samples = _newest(engine.samples, told)
        for sample, seconds in samples:
            found.add(sample, seconds)
        silence = now - samples[-1][0].t
        found.parts[engine.name].seconds += silence if LATE_S < silence <= SPAN_S else 0.0
    return found


def newest(engines: Sequence[EngineView], name: str) -> float | None:
    """The sum of a figure over the engines' newest samples; None: none tells."""
    values = [getattr(engine.sample, name) for engine in engines]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _newest(samples: Sequence[Sampled], most: int) -> list[tuple[Sampled, float]]:
    """The newest, oldest first, each with the seconds since the one before it.

    The first of all is taken to cover a second, or what there is of its clock.
    """
    chosen = list(islice(reversed(samples), most + 1))
    pairs = [(sample, max(0.0, sample.t - before.t)) for sample, before in pairwise(chosen)]
    if 0 < len(chosen) <= most:
        pairs.append((chosen[-1], max(0.0, min(1.0, chosen[-1].t))))
    pairs.reverse()
    return pairs
