"""What hints of length bring to `forecast`: makespans without them in times those with, in virtual time.

    CONCUR_TRACE=trace.jsonl python tools/bench/control_hints.py [--seeds 3]

Exact hints, and guesses that are wrong by factors of `exp(gauss(0, sim.hint_sigma))`. `CONCUR_TRACE` adds 256 recorded agents. Some
five minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import geometric_mean
from typing import NamedTuple

from control_cases import Case, cases
from control_suite import run

from report import show

CASES = ("default tp4", "default tp8", "64 agents", "heterogeneity 0.9", "steps 2-60", "mixed: long and short")
RECORDED = ("trace tp4 256", "trace tp8 256")
SIGMAS = (None, 0.0, 0.5, 1.0)  # None: no hints


class Found(NamedTuple):
    """Of one run, seconds."""

    makespan_s: float
    agent_p95_s: float


def found(sigma: float | None, case: Case, seed: int) -> Found:
    """Of one simulated run."""
    sim = dict(case.sim) if sigma is None else {**case.sim, "hint_sigma": sigma}
    figures = run(case._replace(sim=sim), "forecast", seed, {})
    return Found(figures["makespan_s"], figures["agent_p95_s"])


def rows(runs: dict[tuple[float | None, str, int], Found], names: Sequence[str], seeds: int) -> list[list[str]]:
    """Per quality of hints: mean, least and most over the generated cases, the mean of agent p95 beside it, then each case's seeds."""
    lines = []
    for sigma in SIGMAS[1:]:
        by, p95 = {}, []
        for name in names:
            pairs = [(runs[None, name, seed], runs[sigma, name, seed]) for seed in range(seeds)]
            by[name] = [without.makespan_s / hinted.makespan_s for without, hinted in pairs]
            p95 += [hinted.agent_p95_s / without.agent_p95_s for without, hinted in pairs if name in CASES]
        generated = [ratio for name in CASES for ratio in by[name]]
        means = [geometric_mean(generated), min(generated), max(generated), geometric_mean(p95)]
        each = [" ".join(f"{ratio:.2f}" for ratio in by[name]) for name in names]
        lines.append([f"{sigma}", *(f"{mean:.3f}" for mean in means), *each])
    return lines


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="0 to N-1 of workload and guesses (default 3)")
    seeds = parser.parse_args().seeds
    known = {case.name: case for case in cases()}
    names = [name for name in (*CASES, *RECORDED) if name in known]
    jobs = [(sigma, name, seed) for name in names for sigma in SIGMAS for seed in range(seeds)]
    with ProcessPoolExecutor() as pool:
        done = pool.map(found, *zip(*((sigma, known[name], seed) for sigma, name, seed in jobs), strict=True))
        runs = dict(zip(jobs, done, strict=True))
    heading = ["sigma", "mean", "least", "most", "agent_p95", *names]
    lines = rows(runs, names, seeds)
    show("control_hints", heading, lines, {"rows": [dict(zip(heading, line, strict=True)) for line in lines]})


if __name__ == "__main__":
    main()
