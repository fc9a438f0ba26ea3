"""How engines and agents went over time: per engine, and all engines taken together. Memory is bounded. Pure."""

from __future__ import annotations

from concur_batch import records as r
from concur_batch.report.tidy import clipped, tidied
from concur_batch.results.bins import Bins

SHARES = ("locked", "evictable", "hit_rate", "miss_rate")  # 0..1
COUNTS = (
    "limit_agents",
    "limit_tokens",
    "limit_requests",
    "committed_tokens",
    "active",
    "paused",
    "running",
    "queued",
    "prefill_per_s",
    "decode_per_s",
)  # of several engines the sum; of limits on agents no more than the run may have
_MOST = "most_agents"  # of the whole run, whatever its engines allow; it is no line of its own
SHARED = ("unstarted", _MOST)  # every engine tells the same: of several the mean
MEASURES = (*SHARES, *COUNTS, *SHARED)
_MOMENTS = ("active", "committed_tokens", "unstarted")  # of an interval's end, where of the last one everybody has left
_FIELDS = 2 * len(MEASURES) + 1  # the last: seconds that were sampled

Ratio = tuple[float, float]  # a sum over an interval, and the sum that it is to be divided by
_NOTHING: Ratio = (0.0, 0.0)
ALL = ""  # the name of the engines taken together


class Timelines:
    """`sampled`, `decided`, `segment` and who is paused, in order. A sample covers the time since the one before it."""

    def __init__(self) -> None:
        self._bins: dict[str, Bins] = {}
        self._sampled: dict[str, float] = {}  # engine -> up to here
        self._untaken: dict[str, tuple[float, float, list[float]]] = {}  # engine -> its last sample: since, at, sums
        self._newest: dict[str, list[float]] = {}  # engine -> its last sample's sums, per second
        self._opened = 0.0  # the present segment
        self._covered = 0.0  # up to here by some engine
        self._most_agents: int | None = None
        self._limits: dict[str, r.Decided] = {}
        self._paused: dict[str, str] = {}  # rollout -> engine
        self._paused_on: dict[str, int] = {}
        self._begun: dict[str, str] = {}  # rollout that has not ended -> engine
        self._left: dict[str, str] = {}  # of these, whoever the present process has not taken up yet: engine as it was before

    @property
    def engines(self) -> list[str]:
        """Those that were sampled, in that order; before them `ALL`, where there are several."""
        self._take()
        names = [name for name in self._bins if name != ALL]
        return [ALL, *names] if len(names) > 1 else names

    def segment(self, _: r.SegmentStarted, at: float) -> None:
        """Another process has begun: nobody is sampled or limited yet, and whoever had begun waits to be taken up."""
        self._hold()
        self._opened = self._covered = at
        self._left = dict(self._begun)
        for known in (self._sampled, self._newest, self._limits, self._paused, self._paused_on):
            known.clear()

    def loaded(self, record: r.BatchLoaded, _: float) -> None:
        """How many agents there may be from now on, on all engines together."""
        self._most_agents = record.max_agents or None

    def decided(self, record: r.Decided, _: float) -> None:
        """The limit from now on."""
        self._take()
        self._limits[record.engine] = record

    def finished(self, _: r.SegmentFinished, __: float) -> None:
        """The process is at its end, and samples that nothing was decided on were made when everybody had left."""
        for _since, _at, sums in self._untaken.values():
            for measure in _MOMENTS:
                place = 2 * MEASURES.index(measure)
                sums[place : place + 2] = _NOTHING

    def paused(self, record: r.RolloutPaused, _: float) -> None:
        """One more waits to return."""
        self.back(record, 0.0)
        self._paused[record.rollout] = record.engine
        self._paused_on[record.engine] = self._paused_on.get(record.engine, 0) + 1

    def back(self, record: r.RolloutPaused | r.RolloutReturned | r.RolloutStarted | r.RolloutFinished, _: float) -> None:
        """It holds a slot again, or is over."""
        self._left.pop(record.rollout, None)
        if isinstance(record, r.RolloutStarted):
            self._begun[record.rollout] = record.engine
        elif isinstance(record, r.RolloutFinished):
            self._begun.pop(record.rollout, None)
        engine = self._paused.pop(record.rollout, None)
        if engine is not None:
            self._paused_on[engine] -= 1

    def sampled(self, record: r.Sampled, at: float) -> None:
        """What one engine's controller saw."""
        if record.engine in self._untaken:
            self._take()
        engine, since = record.engine, self._sampled.get(record.engine, self._opened)
        resting = self._paused_on.get(engine, 0)
        paused = resting + sum(was == engine for was in self._left.values())
        unstarted = max(0, record.waiting - resting - len(self._left))
        seconds = max(0.0, at - since)
        ratios = _ratios(record, self._limits.get(engine), paused, unstarted, seconds)
        ratios[_MOST] = _read(self._most_agents, seconds)
        self._untaken[engine] = (since, at, [part for measure in MEASURES for part in ratios[measure]])

    def _take(self) -> None:
        """Add up what has come."""
        for engine, (since, at, sums) in self._untaken.items():
            seconds = max(0.0, at - since)
            self._bins.setdefault(engine, Bins(_FIELDS)).add(since, at, [*sums, seconds])
            self._together(since, at, sums)
            self._sampled[engine] = at
            self._newest[engine] = [part / seconds for part in sums] if seconds > 0 else [0.0] * len(sums)
        self._untaken.clear()

    def _together(self, since: float, at: float, sums: list[float]) -> None:
        """One engine's part of all; and what of the time is not covered by another yet."""
        bins = self._bins.setdefault(ALL, Bins(_FIELDS))
        bins.add(since, at, [*sums, 0.0])
        if at > self._covered:
            bins.add(self._covered, at, [0.0] * len(sums) + [at - self._covered])
            self._covered = at

    def _hold(self) -> None:
        """Engines are not sampled at one moment: what was last seen of each holds until the last of them was."""
        self._take()
        for engine, since in self._sampled.items():
            if since < self._covered:
                left = self._covered - since
                self._together(since, self._covered, [part * left for part in self._newest[engine]])
                self._sampled[engine] = self._covered

    def series(self, engine: str, columns: int, *, exactly: bool = False) -> dict[str, list[float | int | None]]:
        """Means over at most `columns` equal intervals; `t` is each one's end. Measures that are never told are left out."""
        self._hold()
        bins = self._bins[engine]
        if exactly or len(bins.rows) > columns:
            bins = bins.resampled(columns)
        ends = [min((i + 1) * bins.width, bins.end) for i in range(len(bins.rows))]
        found = {"t": tidied(ends, 6)}
        counted = [
            row[2 * MEASURES.index("decode_per_s") + 1] for row in bins.rows
        ]  # seconds of all engines, which always tell this
        for place, measure in enumerate(MEASURES):
            sums = [(row[2 * place], row[2 * place + 1]) for row in bins.rows]
            if engine == ALL and measure in COUNTS:  # added up: over the seconds that were sampled, where every engine tells
                least = 0.0 if measure in _MOMENTS else 0.99
                values = [
                    amount / whole * (told / max(row[-1], 1e-9)) if whole > least * told and whole > 0 else None
                    for (amount, whole), row, told in zip(sums, bins.rows, counted, strict=True)
                ]
            else:
                values = [amount / whole if whole > 0 else None for amount, whole in sums]
            if any(value is not None for value in values):
                found[measure] = tidied(values)
        most = found.pop(_MOST, None)
        if engine == ALL and most is not None and "limit_agents" in found:
            found["limit_agents"] = [_least(*both) for both in zip(found["limit_agents"], most, strict=True)]
        return found

    def view(self, columns: int) -> list[dict[str, object]]:
        """Every engine's name and series, ready for JSON."""
        return [{"name": clipped(name), "series": self.series(name, columns)} for name in self.engines]


def _least(limit: float | None, most: float | None) -> float | None:
    return limit if limit is None or most is None else min(limit, most)


def _read(value: float | None, seconds: float) -> Ratio:
    return _NOTHING if value is None else (value * seconds, seconds)


def _ratios(sample: r.Sampled, limit: r.Decided | None, paused: int, unstarted: int, seconds: float) -> dict[str, Ratio]:
    def read(value: float | None) -> Ratio:
        return _read(value, seconds)

    def share(part: int | None, whole: int) -> Ratio:
        return _NOTHING if part is None else (part, whole)

    evictable = None if sample.resident is None or sample.locked is None else max(0.0, sample.resident - sample.locked)
    prefill = sample.prefill_tokens
    if prefill is None and sample.cached_tokens is not None:  # the engine does not count: what replies tell
        prefill = max(0, sample.prompt_tokens - sample.cached_tokens)
    return {
        "locked": read(sample.locked),
        "evictable": read(evictable),
        "hit_rate": share(sample.cached_tokens, sample.prompt_tokens),
        "miss_rate": share(sample.missed_tokens, sample.history_tokens),
        "limit_agents": read(limit.agents if limit else None),
        "limit_tokens": read(limit.tokens if limit else None),
        "limit_requests": read(limit.requests if limit else None),
        "committed_tokens": read(sample.committed_tokens),
        "active": read(sample.active),
        "paused": read(paused),
        "running": read(sample.running_requests),
        "queued": read(sample.queued_requests),
        "prefill_per_s": _NOTHING if prefill is None else (prefill, seconds),
        "decode_per_s": (sample.generated_tokens, seconds),
        "unstarted": read(unstarted),
    }
