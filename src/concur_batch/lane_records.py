"""What a lane's engine, samples and limits look like in the journal. Pure."""

from __future__ import annotations

from typing import NamedTuple

from concur_batch.control.base import UNLIMITED, Limit, Sample
from concur_batch.engine.base import Capabilities
from concur_batch.records import Decided, EngineSeen, Sampled


class Helps(NamedTuple):
    """SGLang's own means for agents, as far as they are in use."""

    sessions: bool
    priority: bool


def seen(can: Capabilities, *, t: float, engine: str, model: str, policy: str, helps: Helps, note: str | None) -> EngineSeen:
    """`model`: for tasks that name none. `note`: for the user."""
    return EngineSeen(
        t=t,
        engine=engine,
        engine_kind=can.kind,
        model=model,
        version=can.version,
        capacity_tokens=can.capacity_tokens,
        context_length=can.context_length,
        statistics=can.statistics,
        policy=policy,
        sessions=helps.sessions,
        priority=helps.priority,
        note=note,
    )


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
