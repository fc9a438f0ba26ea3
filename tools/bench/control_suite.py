"""Policies over the whole suite: every kind of workload once, in virtual time, so that the figures are the same on every machine.

    python tools/bench/control_suite.py [--only PART] [--controllers off,fixed:auto,aimd,forecast] [--seeds 3] [--keep FILE]
    python tools/bench/control_suite.py --check            # 3 minutes: generated workloads, against control_suite.json
    python tools/bench/control_suite.py --check --record   # after a change that is meant to move them

`CONCUR_TRACE` names a file of recorded agents (docs/workloads.md) for the cases of recorded work; without it they are left out.
`--keep` appends each run to a file and reads it again, so that a second call only runs what is new. With --check, a makespan that
is more than 3 % longer than recorded ends it with code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from report import show

RECORDED = Path(__file__).with_name("control_suite.json")
POOLS = {2: 282_000, 4: 800_000, 8: 1_830_000}
TRACE = os.environ.get("CONCUR_TRACE")


class Case(NamedTuple):
    """One workload on one kind of server."""

    name: str
    profile: str = "qwen3-32b@h100x4"
    pool: int | None = POOLS[4]
    agents: int = 256
    workload: dict[str, Any] = {}
    second: dict[str, Any] | None = None  # the other kind of agents, every second one
    trace: bool = False
    sim: dict[str, Any] = {}
    engines: int = 1
    bulk: bool = False
    dead_first: bool = False

    @property
    def seeds(self) -> bool:
        """Whether there is anything to draw."""
        return not self.trace


def _tp(tp: int) -> dict[str, Any]:
    return {"profile": f"qwen3-32b@h100x{tp}", "pool": POOLS[tp]}


def cases() -> list[Case]:
    """The sensitivity table one value at a time, then mixed jobs, several engines, host tiers, and recorded agents."""
    found = [Case(f"default tp{tp}", **_tp(tp), bulk=tp == 2) for tp in POOLS]
    found += [Case(f"default tp{tp} 512 agents", **_tp(tp), agents=512, bulk=True) for tp in (4, 8)]
    varied: dict[str, dict[str, Any]] = {f"tool {s:g} s": {"tool_median_s": s} for s in (0.2, 5.0, 20.0, 60.0)}
    varied |= {f"output {n}": {"output_median": n} for n in (100, 800)}
    varied |= {f"observation {n}": {"observation_median": n} for n in (300, 1500)}
    varied |= {f"heterogeneity {s:g}": {"scale_sigma": s} for s in (0.0, 0.9)}
    varied |= {f"steps {a}-{b}": {"least_steps": a, "most_steps": b} for a, b in ((5, 10), (10, 10), (2, 60))}
    varied |= {"start 6000": {"start_tokens": 6000}}
    found += [Case(name, workload=workload) for name, workload in varied.items()]
    found += [Case("64 agents", agents=64), Case("1024 agents", agents=1024, bulk=True)]
    found += [
        Case("h200 tp2", "qwen3-32b@h200x2", None),
        Case("qwen3-8b tp1", "qwen3-8b@h100x1", None),
        Case("deepseek-v3 h200 tp8", "deepseek-v3@h200x8", None),
        Case("server 0.5.8", sim={"server_version": "0.5.8"}),
        Case("host tier x2 tp8", **_tp(8), sim={"host_tier": 2.0}),
        Case("host tier x6", sim={"host_tier": 6.0}),
        Case("host tier x2", sim={"host_tier": 2.0}),
    ]
    short = {"least_steps": 3, "most_steps": 8, "start_tokens": 4000, "shared_tokens": 0}
    found += [
        Case("mixed: long and short", second=short),
        Case("mixed: quick and slow tools", second={"tool_median_s": 20.0, "shared_tokens": 6000}),
        Case("two engines", agents=512, engines=2),
    ]
    if TRACE:
        found += [Case(f"trace tp{tp} {n}", **_tp(tp), agents=n, trace=True, bulk=tp == 2 or n >= 512)
                  for tp in POOLS for n in (256, 1024)]  # fmt: skip
    found += [case._replace(name=f"{case.name}, dead first", dead_first=True) for case in found if case.bulk]
    return found


def quick_cases() -> list[Case]:
    """Small pools and few agents: the same law at work in seconds."""
    small = {"pool": 250_000, "agents": 72}
    return [
        Case("quick default", **small),
        Case("quick steps 2-60", **small, workload={"most_steps": 60, "least_steps": 2}),
        Case("quick tool 20 s", **small, workload={"tool_median_s": 20.0}),
        Case("quick tool 60 s", **small, workload={"tool_median_s": 60.0}),
        Case("quick output 100", **small, workload={"output_median": 100}),
        Case("quick heterogeneity 0.9", **small, workload={"scale_sigma": 0.9}),
        Case("quick mixed", **small, second={"least_steps": 3, "most_steps": 8, "start_tokens": 4000, "shared_tokens": 0}),
        Case("quick host tier", **small, sim={"host_tier": 6.0}),
        Case("quick two engines", pool=250_000, agents=144, engines=2),
        Case("quick dead first", **small, dead_first=True),
    ]


# One run -----------------------------------------------------------------------------------------------------------------


def run(case: Case, controller: str, seed: int, parameters: dict[str, Any]) -> dict[str, Any]:
    """The figures of one simulated run."""
    from concur_batch.cli.simulate import configured
    from concur_batch.cli.simulation import simulate
    from concur_batch.config import resolve
    from concur_batch.sim.tasks import tasks

    traces = _agents(case, seed)
    sim = {f"sim.{key}": value for key, value in case.sim.items()}
    if case.pool is not None:
        sim["sim.pool_tokens"] = case.pool
    if case.dead_first:
        sim["sim.session_cache"] = True
    options = {"engine.urls": [f"sim:{case.profile}"], "controller.name": controller, "run.seed": seed, **sim}
    sets = [f"controller.{key}={json.dumps(value)}" for key, value in parameters.items()]
    config = configured(resolve({**options, "run.max_agents": len(traces)}, sets, None, {}))
    more = {} if case.engines == 1 else {"engines": case.engines}
    began = time.process_time()
    done = simulate(traces, list(tasks(traces)), config, progress=lambda _: None, **more).figures
    return {**done, "cpu_s": round(time.process_time() - began, 2)}


def _agents(case: Case, seed: int) -> Any:
    from concur_batch.jobs.traces import read_traces
    from concur_batch.sim.workload import WorkloadParameters, generate

    if case.trace:
        assert TRACE is not None
        return read_traces(TRACE, limit=case.agents, shared_tokens=None)
    first = generate(WorkloadParameters(agents=case.agents, **case.workload), seed)
    if case.second is None:
        return first
    import dataclasses

    other = generate(WorkloadParameters(agents=case.agents, **case.second), seed + 1000)
    return [dataclasses.replace(pair[i % 2], group="ab"[i % 2]) for i, pair in enumerate(zip(first, other, strict=True))]


def swept(case: Case, seed: int) -> dict[str, Any]:
    """The best of all fixed windows, and of none at all."""
    runs: dict[int, dict[str, Any]] = {}

    def makespan(window: int) -> float:
        if window not in runs:
            runs[window] = run(case, "off" if window >= case.agents else f"fixed:{window}", seed, {})
        return float(runs[window]["makespan_s"])

    windows = sorted({min(n, case.agents) for n in (16, 32, 64, 128)})
    while True:
        best = min(windows, key=lambda n: (makespan(n), n))
        place = windows.index(best)
        if place == 0 and best > 1:
            windows.insert(0, best // 2)
            continue
        if place == len(windows) - 1 and best < case.agents:
            windows.append(min(case.agents, 2 * best))
            continue
        near = [windows[i] for i in (place - 1, place + 1) if 0 <= i < len(windows)]
        between = {round((best * n) ** 0.5) for n in near if max(best, n) > 1.1 * min(best, n)} - set(windows)
        if not between:
            off = makespan(case.agents)
            window = best if makespan(best) <= off else None
            return {**runs[best if window else case.agents], "controller": "fixed:auto", "window": window}
        windows = sorted({*windows, *between})


def job(case: Case, controller: str, seed: int, parameters: dict[str, Any]) -> dict[str, Any]:
    """One line of the results."""
    done = swept(case, seed) if controller == "fixed:auto" else run(case, controller, seed, parameters)
    return {"case": case.name, "seed": seed, "controller": controller, **{k: v for k, v in done.items() if k not in ("seed", "controller")}}
