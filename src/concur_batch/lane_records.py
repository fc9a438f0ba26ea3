"""What a lane's samples and limits look like in the journal. Pure."""

from __future__ import annotations

from concur_batch.control.base import UNLIMITED, Limit, Sample
from concur_batch.records import Decided, Sampled


def sampled(sample: Sample, *, t: float, steps: int, lag_s: float, touches: int, stale: bool) -> Sampled:
    """`steps`: replies in its interval. `stale`: it had no fresh reading of the engine."""
    return Sampled(
        t=t,
        engine=sample.engine,
        capacity_tokens=sample.capacity_tokens,
        locked=sample.locked,
        resident=None if sample.resident is None else max(sample.resident, sample.locked or 0.0),
        running_requests=sample.running_requests,
        queued_requests=sample.queued_requests,
        evicted_tokens=sample.evicted_tokens,
        prefill_tokens=sample.prefill_tokens,
        prefill_busy_seconds=sample.prefill_busy_seconds,
        prompt_tokens=sample.prompt_tokens,
        cached_tokens=sample.cached_tokens,
        generated_tokens=sample.generated_tokens,
        history_tokens=sample.history_tokens,
        missed_tokens=sample.missed_tokens,
        active=sample.active,
        waiting=sample.waiting,
        committed_tokens=sample.committed_tokens,
        steps=steps,
        lag_s=round(lag_s, 4),
        touches=touches,
        stale=stale,
    )


def decided(limit: Limit, *, t: float, engine: str) -> Decided:
    """What is unlimited is None."""
    return Decided(
        t=t,
        engine=engine,
        agents=None if limit.agents >= UNLIMITED else limit.agents,
        tokens=None if limit.tokens >= UNLIMITED else limit.tokens,
        requests=None if limit.requests >= UNLIMITED else limit.requests,
        together=limit.together,
        reason=limit.reason,
    )
