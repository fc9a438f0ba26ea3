"""Short batches, most of which fit into the pool as a whole: what it costs there not to know it beforehand.

    python tools/bench/control_short.py [--limited] [--each] [--controller forecast]

Without control all agents begin at once, and where all fit nothing is faster. A controller that does not know how long they are lets some wait
until the first have shown it. One run each, 20 s of CPU in all.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import geometric_mean
from typing import Any, NamedTuple

from control_cases import POOLS, Case
from control_suite import run

from report import show

ENGINES = (("qwen3-32b@h100x4", POOLS[4]), ("qwen3-8b@h100x1", None))
AGENTS = (16, 32, 64, 128)
STEPS = ((1, 2), (2, 4), (3, 6), (5, 10), (10, 20))
TOOLS_S = (1.0, 8.0)
THRASHING = 0.05  # of the history missed without control: not all fit


class Found(NamedTuple):
    """One batch without control and with it; seconds."""

    case: Case
    off_s: float
    other_s: float
    missed: float

    @property
    def ratio(self) -> float:
        """How fast it is with control, beside without."""
        return self.off_s / self.other_s

    @property
    def fits(self) -> bool:
        """Without control hardly anything is computed again."""
        return self.missed <= THRASHING


def cases() -> list[Case]:
    """Every combination."""
    found = []
    for (profile, pool), agents, (least, most), tool_s in product(ENGINES, AGENTS, STEPS, TOOLS_S):
        workload: dict[str, Any] = {"shared_tokens": 1_500, "start_tokens": 2_000, "least_steps": least, "most_steps": most}
        workload |= {"output_median": 250, "observation_median": 500, "tool_median_s": tool_s, "tool_sigma": 1.0}
        found.append(Case(f"{agents} x {least}-{most}, tools {tool_s:g} s", profile, pool, agents, workload))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--controller", default="forecast", help="to be compared with off")
    parser.add_argument("--limited", action="store_true", help="limits.max_steps tells how many steps agents make at most")
    parser.add_argument("--each", action="store_true", help="print every batch, not only means")
    parser.add_argument("--seeds", type=int, default=1, help="draws of each batch, each of which counts once")
    given = parser.parse_args()
    names = ("off", given.controller)
    with ProcessPoolExecutor() as workers:
        todo = [(case, seed) for case in cases() for seed in range(given.seeds)]
        runs = [[workers.submit(run, case, name, seed, {}, limited=given.limited) for name in names] for case, seed in todo]
        done = [(case, *(future.result() for future in both)) for (case, _), both in zip(todo, runs, strict=True)]
    found = [Found(case, off["makespan_s"], other["makespan_s"], off["miss_rate"] or 0.0) for case, off, other in done]
    if given.each:
        rows = [
            [one.case.profile, one.case.name, *(f"{s:,.0f}" for s in one[1:3]), f"{one.ratio:.3f}", f"{one.missed:.1%}"]
            for one in found
        ]
        heading = ["engine", "batch", *(f"{name} s" for name in names), "x off", "missed, off"]
    else:
        heading = ["engine", "steps", "all fit", "x off", "least", "not all", "x off", "least"]
        rows = [
            [profile, f"{least}-{most}", *summary(of, fits=True), *summary(of, fits=False)]
            for (profile, _), (least, most) in product(ENGINES, STEPS)
            if (of := [one for one in found if one.case.profile == profile and one.case.workload["most_steps"] == most])
        ]
    fitting, others = ([one.ratio for one in found if one.fits == fits] for fits in (True, False))
    figures = {
        "all fit": len(fitting),
        "mean": round(geometric_mean(fitting), 4),
        "least": round(min(fitting), 3),
        "below .98": sum(ratio < 0.98 for ratio in fitting),
        "not all": len(others),
        "mean, not all": round(geometric_mean(others), 3),
        "least, not all": round(min(others), 3),
    }
    show("control_short", heading, rows, figures)


def summary(found: list[Found], *, fits: bool) -> tuple[int | str, str, str]:
    """How many, and how fast beside no control: mean and least."""
    ratios = [one.ratio for one in found if one.fits == fits]
    return (len(ratios), f"{geometric_mean(ratios):.3f}", f"{min(ratios):.3f}") if ratios else ("", "", "")


if __name__ == "__main__":
    main()
