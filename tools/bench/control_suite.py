"""Policies over the whole suite: every kind of workload once, in virtual time, so that the figures are the same on every machine.

    python tools/bench/control_suite.py [--only PART] [--controllers off,fixed:auto,aimd,forecast] [--seeds 3|3-5] [--keep FILE]
    python tools/bench/control_suite.py --others           # workloads by which no constant was chosen
    python tools/bench/control_suite.py --several          # one to eight engines
    python tools/bench/control_suite.py --hosts            # engines with a host tier
    python tools/bench/control_suite.py --ordered          # job files that are sorted
    python tools/bench/control_suite.py --conversations    # sub-agents, judges, summaries
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
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import control_cpu
from control_cases import (
    Case,
    agents_of,
    cases,
    conversation_cases,
    host_cases,
    ordered_cases,
    other_cases,
    quick_cases,
    several_cases,
)
from control_figures import SUBJECT, Outcome, against, changes, outcome, verdicts

from concur_batch.cli.parts import simulated_urls
from concur_batch.cli.trial.side_by_side import Workers, cores
from concur_batch.cli.trial.simulate import configured
from concur_batch.cli.trial.simulation import simulate
from concur_batch.config import resolve
from concur_batch.control.policies import make_policy
from concur_batch.errors import ConcurError
from concur_batch.results.sweep import Sweep
from concur_batch.sim.tasks import tasks
from report import show, table

RECORDED = Path(__file__).with_name("control_suite.json")
AUTO = "fixed:auto"
CHECK_SEEDS = 3  # one seed alone moves by a few per cent with any change at all


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


def run(
    case: Case, controller: str, seed: int, parameters: Mapping[str, Any], order: str = "auto", *, limited: bool = False
) -> dict[str, Any]:
    """The figures of one simulated run. `limited`: `limits.max_steps` is what the workload's agents make at most."""
    traces = agents_of(case, seed)
    sim = {f"sim.{key}": value for key, value in case.sim.items()}
    if case.pool is not None:
        sim["sim.pool_tokens"] = case.pool
    if case.dead_first:
        sim["sim.session_cache"] = True
    urls = simulated_urls(case.profile, case.engines)
    options = {
        "engine.urls": urls,
        "controller.name": controller,
        "run.seed": seed,
        "run.max_agents": len(traces),
        "run.order": order,
        **sim,
    }
    if limited:
        options["limits.max_steps"] = case.workload["most_steps"]
    elif case.agent is not None:
        options["limits.max_steps"] = 200  # more than any of them makes
    sets = [f"controller.{key}={json.dumps(value)}" for key, value in parameters.items()]
    config = configured(resolve(options, sets, None, {}))
    began = time.process_time()
    job = list(tasks(traces))
    job = [dataclasses.replace(task, messages=job[i - i % case.siblings].messages) for i, task in enumerate(job)]
    if case.agent is not None:  # it ends its own conversations when the turns are over, and may need some more for that
        job = [dataclasses.replace(task, agent=case.agent, script=(*task.script, *task.script[-1:] * 20)) for task in job]
    done = simulate(traces, job, config, progress=lambda _: None).figures
    if case.agent is not None:
        assert done["statuses"] == {"completed": len(job)}
        done["lower_bound_s"] = None  # it is that of one conversation
    return {**done, "cpu_s": round(time.process_time() - began, 2)}


def swept(case: Case, seed: int) -> dict[str, Any]:
    """The best of all fixed windows, as `concur compare` finds it. `window` None: none is better than no limit at all."""
    runs: dict[int | None, dict[str, Any]] = {}
    sweep = Sweep(len(agents_of(case, seed)))
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


def jobs(found: Iterable[Case], controllers: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """The long ones first. "dead first" is measured against the bound alone, which takes nobody but the subject."""
    asked = [
        Job(case, controller, seed)
        for case in found
        for controller in controllers
        if controller == SUBJECT or not case.dead_first
        for seed in case.draws(seeds)
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


def suite(found: Sequence[Case], controllers: Sequence[str], seeds: Sequence[int], kept: Kept, workers: int) -> int:
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
    asked = jobs(found, [SUBJECT], range(CHECK_SEEDS)) + jobs(found, ["off", "aimd"], (0,))
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


def _seeds(text: str) -> range:
    """`3` is 0 to 2, `3-5` these."""
    first, dash, last = text.partition("-")
    try:
        found = range(int(first), int(last) + 1) if dash else range(int(first))
    except ValueError:
        found = range(0)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: should be N, at least 1, or A-B")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", default="", help="cases whose names contain it")
    parser.add_argument("--controllers", type=_names, default="off,fixed:auto,aimd,forecast", help="as of `concur compare`")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--several", action="store_true", help="in place of the suite, one to eight engines")
    instead.add_argument("--hosts", action="store_true", help="in place of the suite, engines with a host tier")
    instead.add_argument("--ordered", action="store_true", help="in place of the suite, job files that are sorted")
    instead.add_argument("--conversations", action="store_true", help="in place of the suite, agents with several conversations")
    instead.add_argument("--others", action="store_true", help="in place of the suite, workloads by which no constant was chosen")
    parser.add_argument(
        "--seeds", type=_seeds, default="3", metavar="N|A-B", help="0 to N-1 or A to B of each workload (default 3)"
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON lines: runs found there are not run again")
    parser.add_argument("--again", type=_names, default="", metavar="NAMES", help="controllers to be run anew all the same")
    parser.add_argument("--workers", type=int, default=cores(), help="runs side by side (default: one per core)")
    parser.add_argument("--check", action="store_true", help="the quick cases against what is recorded")
    parser.add_argument("--record", action="store_true", help="with --check: record them")
    parser.add_argument("--cpu", action="store_true", help=f"what one decision of {SUBJECT} costs")
    given = parser.parse_args()
    if given.record and not given.check:
        parser.error("--record: goes with --check")
    if given.workers < 1:
        parser.error("--workers: at least 1")
    if given.cpu:
        control_cpu.measure(SUBJECT)
        return
    if given.check:
        raise SystemExit(check(given.workers, record=given.record))
    others = {
        several_cases: given.several,
        host_cases: given.hosts,
        ordered_cases: given.ordered,
        conversation_cases: given.conversations,
        other_cases: given.others,
    }
    of = next((of for of, wanted in others.items() if wanted), cases)
    found = [case for case in of() if given.only in case.name]
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
