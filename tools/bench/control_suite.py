"""Policies over the whole suite: every kind of workload once, in virtual time, so that the figures are the same on every machine.

    python tools/bench/control_suite.py [--only PART] [--controllers off,fixed:auto,aimd,forecast] [--seeds 3] [--keep FILE]
    python tools/bench/control_suite.py --check            # a minute: small generated workloads, against control_suite.json
    python tools/bench/control_suite.py --check --record   # after a change that is meant to move them
    python tools/bench/control_suite.py --cpu              # what one decision costs with 1,024 active agents

`CONCUR_TRACE` names a file of recorded agents (docs/workloads.md) for the cases of recorded work; without it they are left out.
`--keep` appends each run to a file and reads it again, so that a second call only runs what is new; `--again` names controllers
whose runs in that file no longer count. With --check, a makespan that is more than 3 % longer than recorded ends it with code 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import control_cpu
from control_figures import SUBJECT, Outcome, against, changes, outcome, verdicts

from concur_batch.cli.parts import simulated_urls
from concur_batch.cli.trial.side_by_side import Workers, cores
from concur_batch.cli.trial.simulate import configured
from concur_batch.cli.trial.simulation import simulate
from concur_batch.config import resolve
from concur_batch.control.policies import make_policy
from concur_batch.errors import ConcurError
from concur_batch.jobs.traces import read_traces
from concur_batch.results.sweep import Sweep
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate
from report import show, table

RECORDED = Path(__file__).with_name("control_suite.json")
POOLS = {2: 282_000, 4: 800_000, 8: 1_830_000}
TRACE = os.environ.get("CONCUR_TRACE")
AUTO = "fixed:auto"
CHECK_SEEDS = 3  # one seed alone moves by a few per cent with any change at all


class Case(NamedTuple):
    """One workload on one kind of server."""

    name: str
    profile: str = "qwen3-32b@h100x4"
    pool: int | None = POOLS[4]
    agents: int = 256
    workload: Mapping[str, Any] = {}
    second: Mapping[str, Any] | None = None  # the other kind of agents, every second one
    trace: bool = False
    sim: Mapping[str, Any] = {}
    engines: int = 1
    bulk: bool = False
    dead_first: bool = False

    @property
    def seeds(self) -> bool:
        """Whether there is anything to draw."""
        return not self.trace

    @property
    def tp(self) -> str:
        """Its tensor parallelism, as the profile has it."""
        return f"tp{self.profile.rpartition('x')[2]}"


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


# One run ---------------------------------------------------------------------------------------------------------------


class Job(NamedTuple):
    """One line of the results."""

    case: Case
    controller: str
    seed: int

    @property
    def key(self) -> Key:
        """What it is kept under."""
        return self.case.name, self.seed, self.controller


Key = tuple[str, int, str]  # case, seed, controller
Line = dict[str, Any]


def run(case: Case, controller: str, seed: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one simulated run."""
    traces = _agents(case, seed)
    sim = {f"sim.{key}": value for key, value in case.sim.items()}
    if case.pool is not None:
        sim["sim.pool_tokens"] = case.pool
    if case.dead_first:
        sim["sim.session_cache"] = True
    urls = simulated_urls(case.profile, case.engines)
    options = {"engine.urls": urls, "controller.name": controller, "run.seed": seed, "run.max_agents": len(traces), **sim}
    sets = [f"controller.{key}={json.dumps(value)}" for key, value in parameters.items()]
    config = configured(resolve(options, sets, None, {}))
    began = time.process_time()
    done = simulate(traces, list(tasks(traces)), config, progress=lambda _: None).figures
    return {**done, "cpu_s": round(time.process_time() - began, 2)}


def _agents(case: Case, seed: int) -> list[AgentTrace]:
    if case.trace:
        assert TRACE is not None
        return read_traces(TRACE, limit=case.agents, shared_tokens=None)
    first = generate(WorkloadParameters(agents=case.agents, **case.workload), seed)
    if case.second is None:
        return first
    other = generate(WorkloadParameters(agents=case.agents, **case.second), seed + 1000)
    return [dataclasses.replace(pair[i % 2], group="ab"[i % 2]) for i, pair in enumerate(zip(first, other, strict=True))]


def swept(case: Case, seed: int) -> dict[str, Any]:
    """The best of all fixed windows, as `concur compare` finds it. `window` None: none is better than no limit at all."""
    runs: dict[int | None, dict[str, Any]] = {}
    sweep = Sweep(len(_agents(case, seed)))
    while windows := sweep.wanted():
        for window in windows:
            runs[window] = run(case, "off" if window is None else f"fixed:{window}", seed, {})
            sweep.took(window, runs[window]["makespan_s"])
    return {**runs[sweep.best], "window": sweep.best}


def job(case: Case, controller: str, seed: int, parameters: Mapping[str, Any]) -> Line:
    """One line of the results."""
    done = swept(case, seed) if controller == AUTO else run(case, controller, seed, parameters)
    return {
        "case": case.name,
        "seed": seed,
        "controller": controller,
        **{k: v for k, v in done.items() if k not in ("seed", "controller")},
    }


def attempt(_: None, asked: Job) -> Line:
    """The same in whatever process; or what went wrong, in `error`."""
    try:
        return job(asked.case, asked.controller, asked.seed, {})
    except Exception as error:  # noqa: BLE001 - a policy that fails in one case must not cost the other runs
        case, seed, controller = asked.key
        return {"case": case, "seed": seed, "controller": controller, "error": f"{type(error).__name__}: {error}"}


# All runs --------------------------------------------------------------------------------------------------------------


class Kept:
    """Lines of a file, appended as they come. `again`: controllers whose lines in it no longer count."""

    def __init__(self, path: Path | None, again: Iterable[str] = ()) -> None:
        self._path = path
        self.lines: dict[Key, Line] = {}
        if path is None or not path.exists():
            return
        text = path.read_text()
        for line in filter(None, map(_line, text.splitlines())):
            if line["controller"] not in set(again):
                self.lines[line["case"], line["seed"], line["controller"]] = line
        if text and not text.endswith("\n"):  # ended in mid-line: the next one is to begin a new one
            self._append("\n")

    def came(self, line: Line) -> None:
        """One more. One that tells an error is not kept: it is run again the next time."""
        if "error" in line:
            return
        self.lines[line["case"], line["seed"], line["controller"]] = line
        self._append(json.dumps(line) + "\n")

    def _append(self, text: str) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(text)


def _line(text: str) -> Line | None:
    """None for half a line."""
    try:
        line: Line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line


def jobs(found: Iterable[Case], controllers: Sequence[str], seeds: int) -> list[Job]:
    """The long ones first. "dead first" is measured against the bound alone, which takes nobody but the subject."""
    asked = [
        Job(case, controller, seed)
        for case in found
        for controller in controllers
        if controller == SUBJECT or not case.dead_first
        for seed in range(seeds if case.seeds else 1)
    ]
    return sorted(asked, key=lambda one: -one.case.agents * (12 if one.controller == AUTO else 1))


def run_all(asked: Sequence[Job], kept: Kept, workers: int) -> list[str]:
    """Those that are not kept yet, side by side. Returns what went wrong; ends early at Ctrl-C."""
    pool = Workers[Key, None, Job, Line](attempt, workers, None)
    failures: list[str] = []
    todo = [one for one in asked if one.key not in kept.lines]
    try:
        with pool.running():
            for one in todo:
                pool.give(one.key, one)
            for number in range(1, len(todo) + 1):
                (case, seed, controller), line = pool.next()
                kept.came(line)
                told = f"{case}, {controller}, seed {seed}: {line.get('error') or _seconds(line['makespan_s']) + ' s'}"
                print(f"{number}/{len(todo)} {told}", file=sys.stderr, flush=True)
                if "error" in line:
                    failures.append(told)
    except KeyboardInterrupt:
        failures.append("interrupted: the figures are those of what has been run")
    except ConcurError as error:
        failures.append(str(error))
    return failures


def outcomes(found: Iterable[Case], asked: Iterable[Job], lines: Mapping[Key, Line]) -> list[Outcome]:
    """Of each case that has been run."""
    by_case: dict[str, list[Line]] = {}
    for one in asked:
        if one.key in lines:
            by_case.setdefault(one.case.name, []).append(lines[one.key])
    return [
        outcome(case.name, by_case[case.name], bulk=case.tp if case.bulk else None, dead_first=case.dead_first)
        for case in found
        if case.name in by_case
    ]


def suite(found: Sequence[Case], controllers: Sequence[str], seeds: int, kept: Kept, workers: int) -> int:
    """Run and print. Returns the exit code: 1 where a run failed."""
    asked = jobs(found, controllers, seeds)
    failures = run_all(asked, kept, workers)
    done = outcomes(found, asked, kept.lines)
    others = [name for name in ("aimd", AUTO, "off") if name in controllers and SUBJECT in controllers]
    others += [name for name in controllers if name not in (*others, SUBJECT) and SUBJECT in controllers]
    heading = [
        "case",
        *(f"{name} s" for name in controllers),
        *(f"x {name}" for name in others),
        "bound",
        "done p95",
        "agent p95",
    ]
    rows = [
        [
            one.case,
            *(_seconds(one.makespan_s.get(name)) for name in controllers),
            *(_ratio(one.faster_than(name)) for name in others),
            _ratio(one.share_of_bound),
            _ratio(one.done_p95),
            _ratio(one.agent_p95),
        ]
        for one in done
    ]
    print(table(heading, rows), end="\n\n")
    judged = verdicts(done, others)
    for failure in failures:
        print(failure)
    show(
        "control_suite",
        [SUBJECT, "found", "target", "holds", "case"],
        [[one.name, _ratio(one.found), one.asked, one.said, one.case] for one in judged],
        {
            "cases": len(done),
            **{one.name: round(one.found, 4) for one in judged},
            "missed": [one.name for one in judged if one.holds is False],
            "failures": len(failures),
        },
    )
    return 1 if failures else 0


# A check that nothing has become slower ----------------------------------------------------------------------------------


def check(workers: int, *, record: bool) -> int:
    """Run the quick cases and print them beside what is recorded. Returns the exit code."""
    began = time.perf_counter()
    found = quick_cases()
    asked = jobs(found, [SUBJECT], CHECK_SEEDS) + jobs(found, ["off", "aimd"], 1)
    kept = Kept(None)
    failures = run_all(asked, kept, workers)
    done = outcomes(found, [one for one in asked if one.controller == SUBJECT], kept.lines)
    first = outcomes(found, [one for one in asked if one.seed == 0], kept.lines)
    makespans = {one.case: round(one.makespan_s[SUBJECT], 3) for one in done if SUBJECT in one.makespan_s}
    recorded: dict[str, float] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    change = changes(makespans, recorded)
    if record and not failures:
        RECORDED.write_text(json.dumps(makespans, indent=1) + "\n")
    ratios = {one.case: one for one in first}
    rows = [
        [
            name,
            _seconds(recorded.get(name)),
            _seconds(seconds),
            "" if (ratio := against(seconds, recorded.get(name))) is None else f"{ratio - 1:+.1%}",
            *(_ratio(ratios[name].faster_than(other)) if name in ratios else "" for other in ("aimd", "off")),
        ]
        for name, seconds in makespans.items()
    ]
    figures = {"longer": change.longer, "shorter": change.shorter, "wall_s": round(time.perf_counter() - began, 1)}
    for line in failures if record else (*failures, *change.told()):
        print(line)
    show("control_suite --check", ["case", "recorded s", "found s", "differs", "x aimd, seed 0", "x off, seed 0"], rows, figures)
    return 1 if failures or (change.failed and not record) else 0


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", default="", help="cases whose names contain it")
    parser.add_argument("--controllers", type=_names, default="off,fixed:auto,aimd,forecast", help="as of `concur compare`")
    parser.add_argument("--seeds", type=int, default=3, help="0 to N-1 of each generated workload (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON lines: runs found there are not run again")
    parser.add_argument("--again", type=_names, default="", metavar="NAMES", help="controllers to be run anew all the same")
    parser.add_argument("--workers", type=int, default=cores(), help="runs side by side (default: one per core)")
    parser.add_argument("--check", action="store_true", help="the quick cases against what is recorded")
    parser.add_argument("--record", action="store_true", help="with --check: record them")
    parser.add_argument("--cpu", action="store_true", help=f"what one decision of {SUBJECT} costs")
    given = parser.parse_args()
    if given.record and not given.check:
        parser.error("--record: goes with --check")
    if min(given.seeds, given.workers) < 1:
        parser.error("--seeds, --workers: at least 1")
    if given.cpu:
        control_cpu.measure(SUBJECT)
        return
    if given.check:
        raise SystemExit(check(given.workers, record=given.record))
    found = [case for case in cases() if given.only in case.name]
    if not found:
        parser.error(f"--only {given.only}: no case has that in its name")
    try:
        for name in given.controllers:
            if name != AUTO:
                make_policy(name, {}, 1)
    except ConcurError as error:
        parser.error(str(error))
    raise SystemExit(suite(found, given.controllers, given.seeds, Kept(given.keep, given.again), given.workers))


if __name__ == "__main__":
    main()
