"""How far any law of this kind could go: `forecast` that knows what every agent will do, beside what it learns, in virtual time.

    CONCUR_TRACE=trace.jsonl python tools/bench/control_suite.py --keep build/control.jsonl
    CONCUR_TRACE=trace.jsonl python tools/bench/control_ceiling.py --against build/control.jsonl [--only PART] [--keep FILE]

All contexts that an agent will have stand in place of those that are expected of it: who ends when, and how large it is by then.
Since then nothing is uncertain, the pool may be filled to the brim as well: of the fills 0.94 and 1 the better one counts, case by
case and seed by seed. Once in the job's order, and once with long ones early enough. The verdicts are those of control_suite.py. Half an hour on
two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, zip_longest
from math import fsum
from pathlib import Path
from typing import Any, NamedTuple

from control_cases import Case, cases
from control_figures import SUBJECT, Outcome, Verdict, outcome, verdicts
from control_suite import AUTO, Kept, Key, agents_of, run

import concur_batch.control.forecast
from concur_batch.control.kinds import Kinds
from concur_batch.control.projection import Crowd
from concur_batch.control.start import Start
from concur_batch.sim.workload import AgentTrace
from report import show, table

FILLS = (0.94, 1.0)
OTHERS = ("aimd", AUTO, "off")


class Way(NamedTuple):
    """What is known, and who starts first."""

    name: str
    order: str


WAYS = (Way("known", "job"), Way("known, long ones in time", "auto"))


class Job(NamedTuple):
    """One run."""

    way: Way
    case: Case
    seed: int
    fill: float

    @property
    def key(self) -> Key:
        """What it is kept under."""
        return f"{self.case.name}|{self.way.name}|{self.fill}", self.seed, SUBJECT


# What will be ------------------------------------------------------------------------------------------------------------


class Known:
    """In place of `peak_tokens`: the greatest sum of the contexts that the agents will really have, one step being the unit of time."""

    def __init__(self, traces: Iterable[AgentTrace]) -> None:
        self._contexts = {f"agent-{i:05d}#0": list(_contexts(trace)) for i, trace in enumerate(traces)}
        self._shared = {f"agent-{i:05d}#0": trace.shared_tokens for i, trace in enumerate(traces)}

    def peak_tokens(self, crowds: Iterable[Crowd], kinds: Kinds, in_flight_tokens: float, ahead: int | None = None) -> float:
        """Tokens. How often a tool call makes an agent give up its slot is learned here, too; what calls have added is known."""
        del in_flight_tokens, ahead
        shared, rows = 0, []
        for crowd in crowds:
            for agent in crowd.agents:
                shared = max(shared, self._shared[agent.rollout])
                to_come = self._contexts[agent.rollout][agent.steps :] or self._contexts[agent.rollout][-1:]
                stay = 1.0 - kinds.of(agent).long_share
                if stay == 1.0 or crowd.now == crowd.later:
                    rows.append([crowd.now * tokens for tokens in to_come])
                else:
                    spread = crowd.now - crowd.later
                    rows.append([(crowd.later + spread * stay**tau) * tokens for tau, tokens in enumerate(to_come)])
        return shared + max(map(fsum, zip_longest(*rows, fillvalue=0.0)), default=0.0)


def _contexts(trace: AgentTrace) -> Iterator[int]:
    """Private tokens after each model call."""
    for prompt, output in zip(trace.prompts(), trace.outputs, strict=True):
        yield prompt + output - trace.shared_tokens


def attempt(job: Job) -> dict[str, Any]:
    """The figures of one run, under the name of the subject."""
    known = Known(agents_of(job.case, job.seed))
    concur_batch.control.forecast.peak_tokens = known.peak_tokens  # each run sets its own
    Start.too_many = lambda *_: False  # type: ignore[method-assign] # nobody has to be heard of first
    case = job.case._replace(sim={**job.case.sim, "hint_sigma": 0.0}) if job.way.order == "auto" else job.case
    done = run(case, SUBJECT, job.seed, {"fill": job.fill}, order=job.way.order)
    name, seed, controller = job.key
    return {**done, "case": name, "seed": seed, "controller": controller}


# All of them -------------------------------------------------------------------------------------------------------------


def run_all(jobs: Iterable[Job], kept: Kept) -> None:
    """Those that are not kept yet, the long ones first."""
    todo = sorted((job for job in jobs if job.key not in kept.lines), key=lambda job: -job.case.agents)
    with ProcessPoolExecutor() as pool:
        for line in pool.map(attempt, todo):
            kept.came(line)


def outcomes(found: Iterable[Case], jobs: Iterable[Job], kept: Kept, baselines: Kept) -> list[Outcome]:
    """Of each case, with the better fill of each seed."""
    best: dict[str, dict[int, dict[str, Any]]] = {}
    for job in jobs:
        line = kept.lines[job.key]
        by_seed = best.setdefault(job.case.name, {})
        by_seed[job.seed] = min(line, by_seed.get(job.seed, line), key=lambda one: one["makespan_s"])
    return [_outcome(case, [*best[case.name].values()], baselines, best[case.name]) for case in found]


def learned(found: Iterable[Case], baselines: Kept, seeds: int) -> list[Outcome]:
    """What the law as it is has come to, with the same seeds."""
    lines = [line for line in baselines.lines.values() if line["seed"] < seeds]
    own = {case.name: [line for line in lines if line["case"] == case.name and line["controller"] == SUBJECT] for case in found}
    return [_outcome(case, own[case.name], baselines, {line["seed"] for line in own[case.name]}) for case in found]


def _outcome(case: Case, runs: Iterable[dict[str, Any]], baselines: Kept, seeds: Container[int]) -> Outcome:
    others = [
        line for (name, seed, who), line in baselines.lines.items() if name == case.name and seed in seeds and who in OTHERS
    ]
    return outcome(case.name, [*runs, *others], bulk=case.tp if case.bulk else None, dead_first=case.dead_first)


def main() -> None:
    """Run all, print the cases and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="what control_suite.py has kept")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seeds", type=int, default=3, help="0 to N-1 (default 3)")
    parser.add_argument("--keep", type=Path, help="append each run to this file, and do not run again what is in it")
    asked = parser.parse_args()
    if not asked.against.is_file():
        parser.error(f"--against {asked.against}: there is no such file; make it by control_suite.py --keep")
    baselines = Kept(asked.against)
    found = [
        case for case in cases() if asked.only in case.name and (case.name, 0, SUBJECT) in baselines.lines and case.engines == 1
    ]
    jobs = {
        way: [Job(way, case, seed, fill) for case in found for seed in case.draws(range(asked.seeds)) for fill in FILLS]
        for way in WAYS
    }
    kept = Kept(asked.keep)
    run_all(chain.from_iterable(jobs.values()), kept)
    columns = {"learned": learned(found, baselines, asked.seeds)}
    columns |= {way.name: outcomes(found, jobs[way], kept, baselines) for way in WAYS}
    show_cases(columns)
    show_verdicts(columns)


def show_cases(columns: dict[str, list[Outcome]]) -> None:
    """Per case the speed in times that of the best fixed window; where there is none, the share of the bound."""
    rows = [
        [line[0].case, *(_two(one.faster_than(AUTO)) for one in line), *(_two(one.share_of_bound) for one in line)]
        for line in zip(*columns.values(), strict=True)
    ]
    print(table(["case", *(f"{name}: x {AUTO}" for name in columns), *(f"{name}: bound" for name in columns)], rows), end="\n\n")


def show_verdicts(columns: dict[str, list[Outcome]]) -> None:
    """What is asked, and what each column comes to."""
    judged = {name: {one.name: one for one in verdicts(made, OTHERS)} for name, made in columns.items()}
    first: dict[str, Verdict] = next(iter(judged.values()))
    rows = [[one.name, one.asked, *(_told(by.get(one.name)) for by in judged.values())] for one in first.values()]
    figures = {name: {one.name: round(one.found, 4) for one in by.values()} for name, by in judged.items()}
    show("control_ceiling", ["", "asked", *judged], rows, figures)


def _told(verdict: Verdict | None) -> str:
    return "" if verdict is None else f"{verdict.found:.3f} {verdict.case}".strip()


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
