"""The workloads and servers of control_suite.py."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from concur_batch.jobs.traces import read_traces
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate

POOLS = {2: 282_000, 4: 800_000, 8: 1_830_000}
TRACE = os.environ.get("CONCUR_TRACE")
CONVERSING = Path(__file__).with_name("conversing.py")
ORDERS: Mapping[str, Callable[[AgentTrace], Any]] = {
    "smallest first": lambda one: one.final_tokens,
    "largest first": lambda one: -one.final_tokens,
    "by kind": lambda one: one.group,
}
"""How a job file may be sorted."""


class Case(NamedTuple):
    """One workload on one kind of server."""

    name: str
    profile: str = "qwen3-32b@h100x4"
    pool: int | None = POOLS[4]
    agents: int = 256
    workload: Mapping[str, Any] = {}
    second: Mapping[str, Any] | None = None  # the other kind of agents, every second one
    trace: bool = False
    first: int = 0  # of the recorded agents, so many are left out
    sim: Mapping[str, Any] = {}
    engines: int = 1
    bulk: bool = False
    dead_first: bool = False
    agent: str | None = None  # FILE.py:callable; None: the built-in one, with one conversation that only grows
    order: str | None = None  # of ORDERS; the agents then have no tags that tell them apart
    siblings: int = 1  # so many agents, one after the other, are rollouts of one task: their first prompts are the same

    def draws(self, seeds: Sequence[int]) -> list[int]:
        """Of these seeds those that give it other agents: recorded ones run out."""
        if not self.trace:
            return list(seeds)
        return sorted({seed % max(1, (len(_recorded()) - self.first) // self.agents) for seed in seeds})

    @property
    def tp(self) -> str:
        """Its tensor parallelism, as the profile has it."""
        return f"tp{self.profile.rpartition('x')[2]}"


def agents_of(case: Case, seed: int) -> list[AgentTrace]:
    """In the order of the job. Of recorded agents seed 0 are the first ones of the file, seed 1 those after them, and so on."""
    found = _agents_of(case, seed)
    if case.order is None:
        return found
    return [dataclasses.replace(one, group="") for one in sorted(found, key=ORDERS[case.order])]


def _agents_of(case: Case, seed: int) -> list[AgentTrace]:
    if case.trace:
        first = case.first + seed * case.agents
        return _recorded()[first : first + case.agents]
    first = generate(WorkloadParameters(agents=case.agents, **case.workload), seed)
    if case.second is None:
        return [dataclasses.replace(one, prompt_tokens=first[i - i % case.siblings].prompt_tokens) for i, one in enumerate(first)]
    other = generate(WorkloadParameters(agents=case.agents, **case.second), seed + 1000)
    return [dataclasses.replace(pair[i % 2], group="ab"[i % 2]) for i, pair in enumerate(zip(first, other, strict=True))]


def _recorded() -> list[AgentTrace]:
    assert TRACE is not None
    return _read(TRACE)


_read = functools.cache(read_traces)


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


def other_cases() -> list[Case]:
    """Values between and beyond those of the table, other models, and other agents of the recorded ones: no constant was chosen by these."""
    varied: dict[str, dict[str, Any]] = {f"tool {s:g} s": {"tool_median_s": s} for s in (1.0, 10.0, 35.0)}
    varied |= {f"output {n}": {"output_median": n} for n in (150, 500)}
    varied |= {f"observation {n}": {"observation_median": n} for n in (150, 2500)}
    varied |= {f"steps {a}-{b}": {"least_steps": a, "most_steps": b} for a, b in ((20, 40), (3, 20))}
    varied |= {"start 12000": {"start_tokens": 12000}}
    found = [Case(name, workload=workload) for name, workload in varied.items()]
    found += [Case(f"{n} agents", agents=n) for n in (128, 400)]
    profiles = ("qwen3-32b@h200x4", "qwen3-8b@h200x1", "llama-3.1-70b@h100x4")
    found += [Case(profile, profile, None) for profile in profiles]
    if TRACE:
        found += [Case(f"trace tp{tp} from 768", **_tp(tp), trace=True, first=768) for tp in POOLS]
    return found


def several_cases() -> list[Case]:
    """Several engines with small pools, as many agents for each: an agent stays with the engine where it starts."""
    return [
        Case(
            f"{engines} engine{'s' * (engines > 1)}, tool {s:g} s",
            pool=250_000,
            agents=72 * engines,
            engines=engines,
            workload={"tool_median_s": s},
        )
        for engines in (1, 2, 4, 8)
        for s in (2.0, 8.0, 20.0)
    ]


def host_cases() -> list[Case]:
    """Host tiers of 1.5 to 4 times the pool, which hold a part of the agents, and two that hold them all."""
    kinds: dict[str, dict[str, Any]] = {
        "tp2, 128 agents": {**_tp(2), "agents": 128},
        "tool 5 s": {"workload": {"tool_median_s": 5.0}},
        "tool 20 s": {"workload": {"tool_median_s": 20.0}},
        "steps 2-60": {"workload": {"least_steps": 2, "most_steps": 60}},
    }
    found = [Case(f"host tier x{ratio:g}", sim={"host_tier": ratio}) for ratio in (1.5, 2.0, 3.0, 4.0, 6.0)]
    found += [
        Case(f"host tier x{ratio:g}, {name}", **more, sim={"host_tier": ratio})
        for name, more in kinds.items()
        for ratio in (2.0, 4.0)
    ]
    return [*found, Case("host tier x2, tp8", **_tp(8), sim={"host_tier": 2.0})]


def conversation_cases() -> list[Case]:
    """Agents with several conversations each, or one that they begin anew from a summary: conversing.py."""
    kinds = {"compacting": (40, 120), "judged": (20, 60), "delegating": (30, 90), "delegating_widely": (40, 120)}
    workloads: dict[str, dict[str, Any]] = {"": {}, ", tool 5 s": {"tool_median_s": 5.0}, ", output 100": {"output_median": 100}}
    found = []
    for (agent, (least, most)), (name, workload) in product(kinds.items(), workloads.items()):
        steps = {"least_steps": least, "most_steps": most}
        case = Case(
            agent.replace("_", " ") + name, pool=400_000, agents=192, workload=workload | steps, agent=f"{CONVERSING}:{agent}"
        )
        found += [case] if name else [case, case._replace(name=f"{case.name}, small pool", pool=250_000)]
    return found


def ordered_cases() -> list[Case]:
    """Job files that are sorted: by contexts at the end, or one kind of agents after the other. What was learned of the first does not hold of the last."""
    short = {"least_steps": 3, "most_steps": 8, "start_tokens": 4000, "shared_tokens": 0}
    slow = {"tool_median_s": 20.0}
    kinds: dict[str, dict[str, Any]] = {f"default tp{tp}": _tp(tp) for tp in POOLS}
    kinds |= {
        "tool 5 s": {"workload": {"tool_median_s": 5.0}},
        "heterogeneity 0.9": {"workload": {"scale_sigma": 0.9}},
        "steps 2-60": {"workload": {"least_steps": 2, "most_steps": 60}},
        "long and short": {"second": short},
    }
    if TRACE:
        kinds |= {f"trace tp{tp} 256": {**_tp(tp), "trace": True} for tp in POOLS}
    found = [
        Case(f"{name}, {order}", **more, order=order)
        for name, more in kinds.items()
        for order in ("smallest first", "largest first")
    ]
    return [
        *found,
        Case("quick tools, then slow", second=slow, order="by kind"),
        Case("slow tools, then quick", workload=slow, second={}, order="by kind"),
    ]


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
