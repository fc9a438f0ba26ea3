"""Policies on workloads drawn at random: what the suite's cases, one value changed at a time, do not show.

    python tools/bench/control_drawn.py FIRST STOP [--small] [--controllers off,aimd,forecast] [--keep FILE]

Each number is one workload on one engine, always the same: shared prefix and start, steps, outputs, observations, tool times, their
spreads, how unlike agents are, how many agents (2, 4 or 8 times what the pool holds, at least 24), one to a task or eight. A law is
chosen on some numbers and told by others. One run each, 5 to 10 s of CPU; small batches move by some per cent with any change.
With --small other workloads on pools of 12,000 to 65,000 tokens, as a model has that just fits its GPU, that hold 3 to 25 agents: half of them on a
server that takes seconds to fill its pool (small_server.toml), half on one that takes a fraction of one. One second of CPU each.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from control_cases import POOLS, Case
from control_suite import run

from report import show

ENGINES = (
    ("qwen3-32b@h100x2", POOLS[2]),
    ("qwen3-32b@h100x4", POOLS[4]),
    ("qwen3-32b@h100x8", POOLS[8]),
    ("qwen3-8b@h100x1", None),
    ("qwen3-32b@h200x4", None),
    ("deepseek-v3@h200x8", None),
)
SMALL_ENGINES = ("qwen3-8b@h100x1", str(Path(__file__).with_name("small_server.toml")))
SUBJECT = "forecast"


def between(rng: random.Random, least: float, most: float) -> float:
    """Evenly by its logarithm."""
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def drawn(number: int) -> Case:
    """The workload of that number."""
    rng = random.Random(f"u{number}")
    least = rng.choice([1, 2, 5, 10, 20, 40])
    most = least * rng.choice([1, 2, 4, 10])
    workload: dict[str, Any] = {
        "shared_tokens": int(between(rng, 200, 12_000)),
        "start_tokens": int(between(rng, 300, 20_000)),
        "least_steps": least,
        "most_steps": min(most, 120),
        "output_median": between(rng, 40, 1500),
        "observation_median": between(rng, 60, 3000),
        "observation_sigma": rng.uniform(0.3, 1.6),
        "output_sigma": rng.uniform(0.3, 1.2),
        "tool_median_s": between(rng, 0.05, 15),
        "tool_sigma": rng.uniform(0.3, 2.0),
        "scale_sigma": rng.uniform(0, 1.0),
        "most_private_tokens": int(between(rng, 20_000, 100_000)),
    }
    profile, pool = rng.choice(ENGINES)
    per_step = 1.3 * workload["output_median"] + 1.5 * workload["observation_median"]
    mean = workload["shared_tokens"] / 8 + workload["start_tokens"] + per_step * (least + most) / 4
    agents = max(24, min(600, int(rng.choice([2, 4, 8]) * (pool or 500_000) / mean)))
    siblings = rng.choice([1, 1, 8])
    return Case(f"r{number}", profile, pool, agents, workload, siblings=siblings)


def drawn_small(number: int) -> Case:
    """The workload of that number on a small pool."""
    rng = random.Random(f"s{number}")
    pool = int(between(rng, 12_000, 65_000))
    least = rng.choice([2, 4, 5, 8, 10, 20])
    most = least * rng.choice([1, 2, 4])
    last = pool / between(rng, 3, 25)
    shared, start = int(rng.choice([0.02, 0.1, 0.3]) * last), int(rng.choice([0.05, 0.2, 0.4]) * last)
    per_step = max(40.0, 2 * (last - shared - start) / (least + most))
    output = per_step * rng.uniform(0.1, 0.7)
    workload: dict[str, Any] = {
        "shared_tokens": max(50, shared),
        "start_tokens": max(50, start),
        "least_steps": least,
        "most_steps": most,
        "output_median": max(20.0, output / 1.3),
        "observation_median": max(20.0, (per_step - output) / 1.5),
        "observation_sigma": rng.uniform(0.3, 1.2),
        "output_sigma": rng.uniform(0.3, 1.0),
        "tool_median_s": between(rng, 0.05, 6),
        "tool_sigma": rng.uniform(0.3, 1.5),
        "scale_sigma": rng.uniform(0, 0.7),
        "most_private_tokens": int(0.6 * pool),
    }
    mean = shared / 8 + start + per_step * (least + most) / 4
    agents = max(16, min(400, int(rng.choice([2, 4, 8]) * pool / mean)))
    return Case(f"s{number}", rng.choice(SMALL_ENGINES), pool, agents, workload)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--small", action="store_true", help="small pools")
    parser.add_argument("--controllers", default="off,aimd,forecast", help="forecast among them")
    parser.add_argument("--keep", type=Path, help="append the makespans to this file")
    given = parser.parse_args()
    names = given.controllers.split(",")
    others = [name for name in names if name != SUBJECT]
    ratios: dict[str, list[float]] = {name: [] for name in others}
    rows = []
    with ProcessPoolExecutor() as workers:
        cases = [(drawn_small if given.small else drawn)(number) for number in range(given.first, given.stop)]
        runs = {(case.name, name): workers.submit(run, case, name, 0, {}) for case in cases for name in names}
        for case in cases:
            found = {name: runs[case.name, name].result() for name in names}
            subject = found[SUBJECT]
            faster = [found[name]["makespan_s"] / subject["makespan_s"] for name in others]
            for name, ratio in zip(others, faster, strict=True):
                ratios[name].append(ratio)
            spans = [f"{found[name]['makespan_s']:,.0f}" for name in names]
            told = [f"{ratio:.3f}" for ratio in faster]
            rows.append([case.name, Path(case.profile).stem, case.agents, *spans, *told, f"{subject['miss_rate'] or 0:.1%}"])
            if given.keep is not None:
                with given.keep.open("a") as file:
                    file.write(json.dumps({"case": case.name, **{name: found[name]["makespan_s"] for name in names}}) + "\n")
    figures = {f"x {name}": round(geometric_mean(of), 3) for name, of in ratios.items()}
    figures |= {f"least x {name}": round(min(of), 3) for name, of in ratios.items()}
    heading = ["drawn", "engine", "agents", *(f"{name} s" for name in names), *(f"x {name}" for name in others), "missed"]
    show("control_drawn", heading, rows, figures)


if __name__ == "__main__":
    main()
