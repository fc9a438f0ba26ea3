"""Short batches, most of which fit into the pool as a whole: what it costs there not to know it beforehand.

    python tools/bench/control_short.py [--controller forecast]

Without control all agents begin at once, and where all fit nothing is faster. A controller that does not know how long they are lets some wait
until the first have shown it. One run each, 20 s of CPU in all.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import geometric_mean
from typing import Any

from control_cases import POOLS, Case
from control_suite import run

from report import show

ENGINES = (("qwen3-32b@h100x4", POOLS[4]), ("qwen3-8b@h100x1", None))
AGENTS = (16, 32, 64, 128)
STEPS = ((1, 2), (2, 4), (3, 6), (5, 10), (10, 20))
TOOLS_S = (1.0, 8.0)
THRASHING = 0.05  # of the history missed without control: not all fit


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
    given = parser.parse_args()
    rows, fitting, others = [], [], []
    with ProcessPoolExecutor() as workers:
        names = ("off", given.controller)
        runs = [[workers.submit(run, case, name, 0, {}, limited=given.limited) for name in names] for case in cases()]
        for case, both in zip(cases(), runs, strict=True):
            off, found = (future.result() for future in both)
            ratio = off["makespan_s"] / found["makespan_s"]
            missed = off["miss_rate"] or 0.0
            (others if missed > THRASHING else fitting).append(ratio)
            spans = [f"{one['makespan_s']:,.0f}" for one in (off, found)]
            rows.append([case.profile, case.name, *spans, f"{ratio:.3f}", f"{missed:.1%}"])
    figures = {
        "where all fit": len(fitting),
        "mean": round(geometric_mean(fitting), 4),
        "least": round(min(fitting), 3),
        "below .98": sum(ratio < 0.98 for ratio in fitting),
        "elsewhere": len(others),
        "mean elsewhere": round(geometric_mean(others), 3),
        "least elsewhere": round(min(others), 3),
    }
    show("control_short", ["engine", "batch", "off s", f"{given.controller} s", "x off", "missed, off"], rows, figures)


if __name__ == "__main__":
    main()
