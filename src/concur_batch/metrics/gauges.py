"""What the run is now, read from its state when somebody asks. It is read beside the thread that writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from concur_batch import records as r
from concur_batch.metrics.tally import Values
from concur_batch.state import EngineView, LiveRollout, RunState
from concur_batch.state.engine import hit, limits_agents, miss

_ATTEMPTS = 20  # to read beside the thread that writes
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tasks": ("Tasks of the job.", ()),
    "max_agents": ("Most active agents that the run may have, on all engines together.", ()),
    "rollouts": ("Rollouts of the run, by how they ended; begun: they have not; never_started.", ("status",)),
    "elapsed_seconds": ("Seconds of work so far, over all processes, up to the newest record.", ()),
    "start_time_seconds": ("Seconds since 1970 when this process began its work.", ()),
    "draining": ("1 while nobody starts a new step any more.", ()),
    "admission_held": ("1 while a person lets nobody start or return.", ()),
    "limit_factor": ("What a person multiplies every limit of the controllers by; 1: nothing.", ()),
    "event_loop_lag_seconds": ("Worst lateness of the runner's event loop in the newest interval.", ()),
    "agents": (
        "Agents that have begun: active (with a slot), paused, or yielded (without one and not waiting for it, as in a long tool call).",
        ("engine", "state"),
    ),
    "active_agents": ("Agents holding a slot, by what they wait for: model or tool.", ("engine", "phase")),
    "active_context_tokens": ("Tokens in the contexts of the active agents.", ("engine",)),
    "limit_agents": ("Most active agents that the controller allows; none where it sets no such limit.", ("engine",)),
    "limit_tokens": ("Most tokens in the contexts of active agents that it allows; the same.", ("engine",)),
    "limit_requests": ("Most model calls in flight that it allows; the same.", ("engine",)),
    "engine_up": ("0 while the engine does not answer.", ("engine",)),
    "engine_running_requests": ("Requests that the engine runs.", ("engine",)),
    "engine_queued_requests": ("Requests that wait in the engine.", ("engine",)),
    "kv_capacity_tokens": ("Size of the engine's KV pool.", ("engine",)),
    "kv_locked_ratio": ("Share of the pool held by running requests.", ("engine",)),
    "kv_resident_ratio": ("Share of the pool held by running requests or cached.", ("engine",)),
    "cache_hit_ratio": ("Cached share of the prompt tokens in the newest interval.", ("engine",)),
    "cache_miss_ratio": ("Share of the history that was prefilled again in the newest interval.", ("engine",)),
}

_T = TypeVar("_T")
Reading = tuple[str, Values, float]


def readings(state: RunState) -> Iterator[Reading]:
    """Name, label values and value of every gauge that is known. What the engine does not tell, or not freshly, is left out."""
    lives, engines = list(state.live.values()), list(state.engines.values())
    yield "tasks", (), state.tasks
    if state.max_agents:
        yield "max_agents", (), state.max_agents
    for status in r.STATUSES:
        yield "rollouts", (status,), state.statuses.get(status, 0)
    yield "rollouts", ("begun",), len(lives)
    yield "rollouts", ("never_started",), state.unstarted
    yield "elapsed_seconds", (), state.elapsed
    if state.segment is not None:
        yield "start_time_seconds", (), state.epoch
    yield "draining", (), float(state.draining is not None)
    yield "admission_held", (), float(state.by_hand.held)
    yield "limit_factor", (), state.by_hand.factor
    yield "event_loop_lag_seconds", (), state.lag_s
    for view in engines:
        yield from _of_agents(view.name, [live for live in lives if live.engine == view.name])
        yield from _of_engine(view, state.max_agents)


def _of_agents(engine: str, lives: list[LiveRollout]) -> Iterator[Reading]:
    states = Counter("paused" if live.paused else "yielded" if live.yielded else "active" for live in lives)
    active = [live for live in lives if not live.paused and not live.yielded]
    phases = Counter("tool" if live.tools else "model" for live in active)
    for name in ("active", "paused", "yielded"):
        yield "agents", (engine, name), states[name]
    for name in ("model", "tool"):
        yield "active_agents", (engine, name), phases[name]
    yield "active_context_tokens", (engine,), sum(live.context_tokens for live in active)


def _of_engine(view: EngineView, max_agents: int) -> Iterator[Reading]:
    sample, decision, engine = view.sample, view.decision, (view.name,)
    yield "engine_up", engine, float(view.lost is None)
    if decision is not None:
        yield from _known(engine, limit_tokens=decision.tokens, limit_requests=decision.requests)
        yield from _known(engine, limit_agents=decision.agents if limits_agents(decision, view.policy, max_agents) else None)
    if view.seen is not None:
        yield from _known(engine, kv_capacity_tokens=view.seen.capacity_tokens)
    if sample is not None and not sample.stale:
        yield from _known(
            engine,
            engine_running_requests=sample.running_requests,
            engine_queued_requests=sample.queued_requests,
            kv_locked_ratio=sample.locked,
            kv_resident_ratio=sample.resident,
        )
    if sample is not None:
        yield from _known(engine, cache_hit_ratio=hit([sample]), cache_miss_ratio=miss([sample]))


def _known(labels: Values, **values: float | None) -> Iterator[Reading]:
    return ((name, labels, value) for name, value in values.items() if value is not None)


def beside_a_writer(read: Callable[[], _T]) -> _T:
    """The result of `read`, tried again where a dictionary changed its size under it."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(RuntimeError):
            return read()
    return read()
