"""The default workload on Qwen3-32B, H100, TP2, 4 and 8: uncontrolled, the paper's law, and the best of all fixed windows.

The windows are swept from coarse to fine until the neighbours of the best lie within a ratio of 1.1. Virtual time: the same
figures on every machine, but for the seconds of CPU.

    python tools/bench/simulate_figures.py [--tp 4] [--seed 0] [--check]

With --check, a makespan that is more than 10 % off, a best window more than 15 %, or a bound more than 3 % ends it with code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from program import command

from concur_batch.results.sweep import Sweep
from report import show

AGENTS = 256
POOLS = {2: 282_000, 4: 800_000, 8: 1_830_000}
EXPECTED = {2: (7850, 4479, 4170, 16, 3156), 4: (3801, 1852, 1550, 44, 1225), 8: (1928, 769, 734, 104, 582)}
"""Makespans of off, aimd and the best window (s), that window, and the lower bound: a public prototype's."""


class Workload:
    """Runs of one workload at one degree of tensor parallelism."""

    def __init__(self, tp: int, seed: int) -> None:
        self.tp = tp
        self.argv = [command(), "simulate", "--profile", f"qwen3-32b@h100x{tp}", "--pool-tokens", str(POOLS[tp])]
        self.argv += ["--seed", str(seed), "--json", "--controller"]
        self.run = cache(self._run)

    def _run(self, controller: str) -> dict[str, Any]:
        done = subprocess.run([*self.argv, controller], check=True, capture_output=True, text=True)
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def best_window(self, executor: ThreadPoolExecutor) -> dict[str, Any]:
        """As `concur compare` finds it for `fixed:auto`. `window` None: no window is better than none at all."""
        sweep = Sweep(AGENTS)
        while windows := sweep.wanted():
            for window, run in zip(windows, executor.map(self.run, map(_controller, windows)), strict=True):
                sweep.took(window, run["makespan_s"])
        return {"window": sweep.best, **self.run(_controller(sweep.best))}


def _controller(window: int | None) -> str:
    return "off" if window is None else f"fixed:{window}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tp", type=int, choices=sorted(POOLS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    worst: dict[str, float] = {"makespan": 0.0, "bound": 0.0, "window": 0.0}

    def off_by(kind: str, found: float, expected: float) -> str:
        difference = found / expected - 1
        worst[kind] = max(worst[kind], abs(difference))
        return f"{difference:+.1%}"

    with ThreadPoolExecutor(os.cpu_count()) as executor:
        for tp in given.tp or sorted(POOLS):
            workload = Workload(tp, given.seed)
            off, aimd = executor.map(workload.run, ["off", "aimd"])
            best = workload.best_window(executor)
            want = EXPECTED[tp]
            for name, run, seconds in (
                ("off", off, want[0]),
                ("aimd", aimd, want[1]),
                (_controller(best["window"]), best, want[2]),
            ):
                ratio = off["makespan_s"] / run["makespan_s"]
                difference = off_by("makespan", run["makespan_s"], seconds)
                rows.append(
                    [f"TP{tp}", name, f"{run['makespan_s']:.0f}", seconds, difference, f"{ratio:.2f}", f"{run['hit_rate']:.3f}"]
                )
                figures[f"tp{tp} {name.partition(':')[0]}"] = round(run["makespan_s"], 1)
            bound = off["lower_bound_s"]
            rows.append([f"TP{tp}", "lower bound", f"{bound:.0f}", want[4], off_by("bound", bound, want[4]), "", ""])
            window = best["window"] or AGENTS
            rows.append([f"TP{tp}", "best window", window, want[3], off_by("window", window, want[3]), "", ""])
            figures[f"tp{tp} window"] = window
    show("simulate_figures", ["", "run", "makespan s", "expected", "differs", "x off", "hit rate"], rows, figures)
    if given.check and (worst["makespan"] > 0.10 or worst["window"] > 0.15 or worst["bound"] > 0.03):
        raise SystemExit(f"too far from what is expected: {worst}")


if __name__ == "__main__":
    main()
