"""One simulated run: the shipped runner, agents and controllers in virtual time, against a simulated engine."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concur_batch import records as r
from concur_batch.agent.registry import find_agent
from concur_batch.agent.replay import History
from concur_batch.cli import hints, parts
from concur_batch.cli.assembly import assemble, record_start
from concur_batch.config import Config
from concur_batch.plan import Retry, plan
from concur_batch.recorder import Recorder, Sink
from concur_batch.results.tally import Tally, percentile
from concur_batch.results.timeline import Timeline
from concur_batch.sim.bound import lower_bound_s
from concur_batch.sim.call import Call
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.profile import Profile
from concur_batch.sim.workload import AgentTrace
from concur_batch.state import RunState
from concur_batch.task import Task
from concur_batch.toolbox.recorded import RecordedTools
from concur_batch.virtual import run_virtual


@dataclass(slots=True, kw_only=True)
class Simulated:
    """What came of it. `figures`, which are those of all engines together, has the keys that `concur simulate --json` prints."""

    figures: dict[str, Any]
    timeline: Timeline


_PROGRESS_EVERY = 2_000  # records
_SHORTER = {"max_tokens", "max_completion_tokens"}  # what may end a reply before its recorded end


class _Truth:
    """What only a simulated engine can tell; for reports, never for controllers."""

    def __init__(self) -> None:
        self.first_token_s: list[float] = []
        self.retractions = 0
        self.recomputed_tokens = 0

    def ended(self, call: Call) -> None:
        if call.first_token_at is not None:
            self.first_token_s.append(call.first_token_at - call.arrived_at)
        self.retractions += call.retractions
        self.recomputed_tokens += call.recomputed_tokens


def simulate(
    traces: Sequence[AgentTrace], tasks: Sequence[Task], config: Config, *sinks: Sink, progress: Callable[[RunState], None]
) -> Simulated:
    """Run these agents to the end. `sinks` get every record; `progress` is called now and then with the state so far."""
    tally, timeline, state, truth = Tally(), Timeline(), RunState(), _Truth()
    began = time.perf_counter()
    calls = _now_and_then(state, progress)
    planned = hints.simulated(traces, tasks, config)
    run_virtual(_run(planned, config, state, truth, [*sinks, state.apply, tally.apply, timeline.apply, calls]))
    wall_s = time.perf_counter() - began
    engines = len(config.engine.urls)
    profile = parts.profile_of(config.engine.urls[0])  # all of them are equal
    options = parts.server_options(profile, config.sim)
    bound = _bound(traces, profile, options, config)
    figures = {
        "controller": config.controller.name,
        "profile": profile.name,
        "engines": engines,
        "pool_tokens": options.capacity_tokens * engines,
        "agents": len(tasks),
        "seed": config.run.seed,
        **tally.figures(),
        "statuses": tally.statuses,
        "lower_bound_s": _rounded(bound),
        "ttft_p50_s": _rounded(percentile(truth.first_token_s, 0.50)),
        "ttft_p99_s": _rounded(percentile(truth.first_token_s, 0.99)),
        "retractions": truth.retractions,
        "retracted_tokens": truth.recomputed_tokens,
        "limit": tally.limit,
        "wall_s": round(wall_s, 3),
    }
    return Simulated(figures=figures, timeline=timeline)


async def _run(tasks: Sequence[Task], config: Config, state: RunState, truth: _Truth, sinks: Sequence[Sink]) -> None:
    engines = [parts.simulated(url, config, on_end=truth.ended) for url in config.engine.urls]
    toolbox = RecordedTools()
    recorder = Recorder(asyncio.get_running_loop().time, *sinks)
    rollouts = plan(tasks, parts.defaults(config), toolbox, find_agent, History(), Retry())
    served = [(engine, engine.capabilities.models[0]) for engine in engines]
    runner, lanes = assemble(rollouts, toolbox, served, config, recorder, state)
    record_start(recorder, config, tasks=len(tasks), rollouts=len(tasks))
    for lane in lanes:
        lane.announce()
    cause = "stopped"
    try:
        await runner.run(lanes)
        cause = "finished"
    finally:
        recorder.write(r.SegmentFinished(t=recorder.now(), cause=cause))
        for lane in lanes:
            await lane.close()


def _bound(traces: Sequence[AgentTrace], profile: Profile, options: ServerOptions, config: Config) -> float | None:
    """None where limits end agents early: the bound is that of the whole workload."""
    limits = config.limits
    early = (limits.max_steps, limits.max_output_tokens, limits.max_total_tokens, limits.timeout_s)
    if any(limit is not None for limit in early) or parts.defaults(config).sampling.keys() & _SHORTER:
        return None
    return lower_bound_s(
        traces,
        profile.cost,
        options.capacity_tokens,
        context_length=min(options.context_length, limits.context_length or options.context_length),
        chunk_tokens=options.chunked_prefill_size,
        page=options.page_size,
        engines=len(config.engine.urls),
    )


def _now_and_then(state: RunState, progress: Callable[[RunState], None]) -> Sink:
    """A sink that tells the state once in so many records."""
    records = itertools.count(1)

    def sink(_: r.Record) -> None:
        if next(records) % _PROGRESS_EVERY == 0:
            progress(state)

    return sink


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
