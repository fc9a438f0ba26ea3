"""Turn replies and readings into samples: sums over one interval, from differences of counters. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from concur_batch.control.base import EngineStats, Sample

N = TypeVar("N", int, float)


@dataclass(slots=True)
class _Tally:
    replies: int = 0
    prompt: int = 0
    cached: int | None = None
    generated: int = 0
    history: int = 0
    missed: int | None = None


@dataclass(slots=True)
class CacheMeter:
    """One engine's meter. `reply` for every reply, `sample` once per interval."""

    engine: str
    _tally: _Tally = field(default_factory=_Tally)
    _last: EngineStats | None = None
    _begun: int = 0  # since the last reading
    steps: int = 0  # replies in the interval that the last sample covers
    stale: bool = False  # whether the last sample had no fresh reading

    def reply(
        self, *, prompt: int, cached: int | None, generated: int, history: int, missed: int | None, fault: bool = True
    ) -> None:
        """Count one reply, in tokens. `fault` False: after a pause or the like, so its misses say nothing about the limit."""
        tally = self._tally
        tally.replies += 1
        tally.prompt += prompt
        tally.generated += generated
        if cached is not None:
            tally.cached = (tally.cached or 0) + cached
        if fault:
            tally.history += history
            if missed is not None:
                tally.missed = (tally.missed or 0) + missed

    def sample(
        self,
        time: float,
        stats: EngineStats | None,
        *,
        active: int,
        waiting: int,
        committed_tokens: int,
        share: float = 1.0,
        begun: int = 0,
        frees_ended: bool = False,
        host_tokens: int = 0,
        held: bool = False,
        factor: float = 1.0,
    ) -> Sample:
        """Close the interval. `stats` None: no reading came; a reading as old as the last one counts as none, and what is begun
        until the next one goes with that, as the counters do.
        """
        last, tally = self._last, self._tally
        if stats is not None and last is not None and stats.epoch is not None and stats.epoch == last.epoch:
            stats = None
        self._tally = _Tally()
        self._begun += begun
        self.steps = tally.replies
        self.stale = stats is None
        now = stats or EngineStats()
        before = last if stats is not None and last is not None else EngineStats()
        told = 0
        if stats is not None:
            self._last = stats
            told, self._begun = self._begun, 0
        return Sample(
            engine=self.engine,
            time=time,
            capacity_tokens=now.capacity_tokens,
            locked=now.locked,
            resident=now.resident,
            running_requests=now.running_requests,
            queued_requests=now.queued_requests,
            evicted_tokens=_grown(before.evicted_tokens_total, now.evicted_tokens_total),
            prefill_tokens=_grown(before.prefill_tokens_total, now.prefill_tokens_total),
            prefill_busy_seconds=_grown(before.prefill_busy_seconds_total, now.prefill_busy_seconds_total),
            prompt_tokens=tally.prompt,
            cached_tokens=tally.cached,
            generated_tokens=tally.generated,
            history_tokens=tally.history,
            missed_tokens=tally.missed,
            begun=told,
            active=active,
            waiting=waiting,
            share=share,
            committed_tokens=committed_tokens,
            frees_ended=frees_ended,
            host_tokens=host_tokens,
            held=held,
            factor=factor,
        )


def _grown(before: N | None, now: N | None) -> N | None:
    """The difference of two readings of a counter. None: unknown, a first reading, or the server has been restarted."""
    if before is None or now is None or now < before:
        return None
    return now - before
