"""A run in numbers, folded from its records: tokens, how long agents and the whole took, pauses. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from concur_batch import records as r
from concur_batch.results.elapsed import Elapsed
from concur_batch.results.span import merged, span

Path = list[tuple[float, int | None]]


class _End(NamedTuple):
    """How a rollout ended, in seconds."""

    status: str
    at: float
    wall_s: float


class Tally:
    """`apply` every record of one run in order. Memory grows with rollouts and with changes of the limit, not with steps."""

    def __init__(self) -> None:
        self.windows: dict[str, Path] = {}
        """Engine -> (seconds since the batch's start, most active agents from then on), where it changed. None: no limit."""
        self.tokens: dict[str, Path] = {}
        """The same of the limit on tokens."""
        self.requests: dict[str, Path] = {}
        """The same of the limit on model calls in flight."""
        self._elapsed = Elapsed()
        self._steps = self._prompt = self._generated = 0
        self._cached = self._told = 0  # `told`: prompt tokens of the replies that tell what was cached
        self._history = self._missed = 0  # of the replies that tell misses
        self._cache_told = self._misses_told = False  # by any reply
        self._ends: dict[str, _End] = {}
        self._paused: dict[str, float] = {}  # rollout -> since when, of those that have not returned
        self._pauses = 0
        self._longest_pause = 0.0
        self._touches = 0

    def apply(self, record: r.Record) -> None:
        """Take one record in. Kinds that tell nothing here only let time pass."""
        at = self._elapsed.at(record)
        if isinstance(record, r.ReplyReceived):
            self._reply(record)
        elif isinstance(record, r.Sampled):
            self._touches += record.touches
        elif isinstance(record, r.Decided):
            limits = ((self.windows, record.agents), (self.tokens, record.tokens), (self.requests, record.requests))
            for paths, limit in limits:
                path = paths.setdefault(record.engine, [])
                if not path or path[-1][1] != limit:
                    path.append((at, limit))
        elif isinstance(record, r.RolloutStarted):
            self._pause_ended(record.rollout, at)  # taken up by another segment, or another attempt
            if not record.resumed:
                self._ends.pop(record.rollout, None)
        elif isinstance(record, r.RolloutPaused):
            if record.reason != "drain":  # the user's doing, not the policy's
                self._pauses += 1
                self._paused[record.rollout] = at
        elif isinstance(record, r.RolloutReturned):
            self._paused.pop(record.rollout, None)
            self._longest_pause = max(self._longest_pause, record.paused_s)
        elif isinstance(record, r.RolloutFinished):
            self._pause_ended(record.rollout, at)
            self._ends[record.rollout] = _End(record.status, at, record.wall_s)

    def _reply(self, reply: r.ReplyReceived) -> None:
        self._steps += 1
        self._prompt += reply.prompt_tokens
        self._generated += reply.completion_tokens
        if reply.cached_tokens is not None:
            self._cache_told = True
            self._told += reply.prompt_tokens
            self._cached += reply.cached_tokens
        if reply.missed_tokens is not None:
            self._misses_told = True
            self._history += reply.history_tokens
            self._missed += reply.missed_tokens

    def _pause_ended(self, rollout: str, at: float) -> None:
        since = self._paused.pop(rollout, at)
        self._longest_pause = max(self._longest_pause, at - since)

    @property
    def statuses(self) -> dict[str, int]:
        """Ended rollouts by status; of a rollout that was tried again, the last attempt."""
        return dict(sorted(Counter(end.status for end in self._ends.values()).items()))

    @property
    def limit(self) -> dict[str, Any]:
        """Where the limits on `agents`, `tokens` and `requests` (model calls in flight) of an engine went; None where there was none all along, or nothing told.

        A limit on tokens counts from the first that was told: until it knows the pool, its policy limits agents.
        Of several engines: the lowest and the highest of any of them, means of the first and the last.
        """
        found = {}
        tokens = {engine: path[1:] if path[0][1] is None and len(path) > 1 else path for engine, path in self.tokens.items()}
        for name, paths in (("agents", self.windows), ("tokens", tokens), ("requests", self.requests)):
            of_all = merged(span(path) for path in paths.values())
            found[name] = None if of_all is None or of_all["low"] is None else of_all
        return found

    def figures(self) -> dict[str, float | int | None]:
        """The numbers so far, ready for JSON; None where the run tells nothing of it. Seconds to the microsecond.

        `steps` are replies; `hit_rate` is cached / prompt and `miss_rate` missed / history, each over the replies that
        tell; `recomputed_tokens` is the missed history, also that of calls after a pause. `agent_*` is from an agent's
        first slot to its end, pauses included; `done_*`, `first_result_s` (the first end) and `makespan_s` (the last) are
        seconds of work since the batch's start. Agents of every status count. `pauses` leaves out those of a drain; one
        that has not ended counts in `paused_max_s` up to the newest record. `touches` are requests that only keep KV in
        the cache; no other figure counts them.
        """
        lives = sorted(end.wall_s for end in self._ends.values())
        ends = sorted(end.at for end in self._ends.values())
        open_pauses = (self._elapsed.now - since for since in self._paused.values())
        found: dict[str, float | int | None] = {
            "steps": self._steps,
            "makespan_s": ends[-1] if ends else None,
            "generated_tokens": self._generated,
            "prompt_tokens": self._prompt,
            "cached_tokens": self._cached if self._cache_told else None,
            "history_tokens": self._history if self._misses_told else None,
            "recomputed_tokens": self._missed if self._misses_told else None,
            "hit_rate": _share(self._cached, self._told),
            "miss_rate": _share(self._missed, self._history),
            "agent_p50_s": percentile(lives, 0.50),
            "agent_p95_s": percentile(lives, 0.95),
            "agent_p99_s": percentile(lives, 0.99),
            "done_p50_s": percentile(ends, 0.50),
            "done_p95_s": percentile(ends, 0.95),
            "done_p99_s": percentile(ends, 0.99),
            "first_result_s": ends[0] if ends else None,
            "pauses": self._pauses,
            "paused_max_s": max(self._longest_pause, *open_pauses, 0.0),
            "touches": self._touches,
        }
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` (0..1) of them do not exceed, interpolated linearly between neighbours; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))
