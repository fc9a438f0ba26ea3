"""What hints of length bring to `forecast`: makespans without them in times those with, in virtual time.

    CONCUR_TRACE=trace.jsonl python tools/bench/control_hints.py [--seeds 3]

Exact hints, and guesses (`sim.hint_sigma` 0.5); longest first and in job order; and with hints believed at their full weight.
`CONCUR_TRACE` adds 256 recorded agents. Some five minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import geometric_mean
from typing import NamedTuple

from control_cases import Case, cases
from control_suite import run

import concur_batch.control.kinds
from report import show

CASES = ("default tp4", "default tp8", "64 agents", "heterogeneity 0.9", "steps 2-60", "mixed: long and short")
RECORDED = ("trace tp4 256", "trace tp8 256")
TRUST = concur_batch.control.kinds._HINT_TRUST  # noqa: SLF001 - what is varied here


class Hints(NamedTuple):
    """One way to hint. `sigma` None: not at all."""

    name: str
    sigma: float | None = None
    longest_first: bool = True
    trust: float = TRUST


WITHOUT = Hints("without")
WAYS = (
    Hints("exact", 0.0),
    Hints("exact, job order", 0.0, longest_first=False),
    Hints("guesses", 0.5),
    Hints("guesses, job order", 0.5, longest_first=False),
    Hints("exact, full weight", 0.0, trust=1.0),
    Hints("guesses, full weight", 0.5, trust=1.0),
)


def makespan_s(hints: Hints, case: Case, seed: int) -> float:
    """Of one simulated run."""
    concur_batch.control.kinds._HINT_TRUST = hints.trust  # noqa: SLF001 - the same; each run sets its own
    sim = dict(case.sim) if hints.sigma is None else {**case.sim, "hint_sigma": hints.sigma}
    order = "auto" if hints.longest_first else "job"
    found: float = run(case._replace(sim=sim), "forecast", seed, {}, order=order)["makespan_s"]
    return found


def rows(found: dict[tuple[Hints, str, int], float], names: Sequence[str], seeds: int) -> list[list[str]]:
    """Per way: mean, least and most over the generated cases, then each case's mean."""
    lines = []
    for hints in WAYS:
        by = {name: [found[WITHOUT, name, seed] / found[hints, name, seed] for seed in range(seeds)] for name in names}
        generated = [ratio for name in CASES for ratio in by[name]]
        means = [f"{geometric_mean(generated):.3f}", f"{min(generated):.2f}", f"{max(generated):.2f}"]
        lines.append([hints.name, *means, *(" ".join(f"{ratio:.2f}" for ratio in by[name]) for name in names)])
    return lines


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="0 to N-1 of workload and guesses (default 3)")
    seeds = parser.parse_args().seeds
    known = {case.name: case for case in cases()}
    names = [name for name in (*CASES, *RECORDED) if name in known]
    jobs = [(hints, name, seed) for name in names for hints in (WITHOUT, *WAYS) for seed in range(seeds)]
    with ProcessPoolExecutor() as pool:
        spans = pool.map(makespan_s, *zip(*((hints, known[name], seed) for hints, name, seed in jobs), strict=True))
        found = dict(zip(jobs, spans, strict=True))
    heading = ["hints", "mean", "least", "most", *names]
    lines = rows(found, names, seeds)
    show("control_hints", heading, lines, {"rows": [dict(zip(heading, line, strict=True)) for line in lines]})


if __name__ == "__main__":
    main()
