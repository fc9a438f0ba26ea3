"""What each constant of `forecast` is worth: generated workloads with one value changed, against the default, in virtual time.

    python tools/bench/control_constants.py [--only KEY] [--seeds 3] [--keep FILE]

Prints per value the makespan in times the default's, as geometric mean over cases and seeds, and per case. Some 300 runs: a
quarter of an hour on two cores. `--keep` appends each run to a file and reads it again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

from control_suite import Case, cases, run

from report import show

CASES = ("default tp4", "tool 0.2 s", "tool 20 s", "output 100", "steps 2-60")
LONG_TOOLS = ("tool 20 s", "tool 60 s")
KEYS: dict[str, tuple[float, ...]] = {
    "fill": (0.94, 0.95, 0.97),
    "pause": (1.0, 1.1),
    "miss_high": (0.05, 0.2),
    "miss_low": (0.0, 0.05),
    "cut": (0.85, 0.97),
    "rise_per_s": (0.003, 0.03),
    "window_s": (5.0, 20.0),
    "away": (0.0, 1.0),
    "aside": (0.3, 1.0),
    "harmless": (0.0,),
    "touch": (0,),
    "together": (0,),
    "first": (4, 64),
}
IN_CODE: dict[str, tuple[float, ...]] = {
    "lengths._BELIEF": (0.8, 0.99),
    "lengths._EARLY": (0.03, 0.12),
    "survival._PRIOR_AGENTS": (3.0, 20.0),
    "kinds._PRIOR_STEPS": (2.0, 32.0),
    "kinds._MOST_PRIOR_GROWTH": (900.0, 1e9),
    "forecast._DEAD_LIVES": (1.0, 2.0),
    "forecast._LEAST_DEVIATIONS": (0.0, 2.0),
    "forecast._DEVIATIONS": (0.0, 2.5),
    "start._AHEAD": (8, 14),
    "start._AHEAD_SMALL": (4, 8),
    "start._SMALL": (1.0, 2.0),
    "start._ROOM_TOKENS": (4096, 16384),
    "forecast._TOUCH_TOKENS": (100.0, 500.0),
    "forecast._LIVES": (1.0, 1.6),
    "prefill._PRIOR_BEGUN": (5.0, 80.0),
    "prefill._PATIENCE": (1.0, 4.0),
    "room._DRAIN_S": (20.0, 180.0),
}


class Variant(NamedTuple):
    """One value of one constant; of none: the default."""

    name: str = ""
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.value:g}" if self.value is not None else "default"


class Found(NamedTuple):
    """What came of one run."""

    variant: Variant
    case: str
    seed: int
    figures: Mapping[str, Any]


def variants(only: str) -> Iterator[Variant]:
    """The default, and each value of each constant whose name contains `only`."""
    yield Variant()
    for name, values in {**KEYS, **IN_CODE}.items():
        if only in name:
            yield from (Variant(name, value) for value in values)


def wanted(only: str, seeds: int) -> Iterator[tuple[Variant, Case, int]]:
    """Every run."""
    known = {case.name: case for case in cases()}
    for variant in variants(only):
        names = (*CASES, *LONG_TOOLS[1:]) if variant.name in ("", "away", "aside", "harmless") else CASES
        for name in names:
            for seed in range(seeds):
                yield variant, known[name], seed


def tried(variant: Variant, case: Case, seed: int) -> Found:
    """One run. Each is in a process of its own kind of world: constants in the code are set before it, and back after it."""
    module, _, constant = variant.name.partition(".")
    if not constant:
        return Found(variant, case.name, seed, run(case, "forecast", seed, {variant.name: variant.value} if variant.name else {}))
    place = importlib.import_module(f"concur_batch.control.{module}")
    usual = getattr(place, constant)
    setattr(place, constant, variant.value)
    try:
        return Found(variant, case.name, seed, run(case, "forecast", seed, {}))
    finally:
        setattr(place, constant, usual)


def rows(found: list[Found]) -> Iterator[list[str]]:
    """Per variant: makespans to the default's over all and per case, and how long 95 % of the agents live at most, likewise."""
    by = {(one.variant, one.case, one.seed): one.figures for one in found}
    names = list(dict.fromkeys(one.case for one in found))
    for variant in dict.fromkeys(one.variant for one in found):
        if not variant.name:
            continue

        def ratios(figure: str, case: str, variant: Variant = variant) -> list[float]:
            pairs = [(by.get((variant, case, seed)), by.get((Variant(), case, seed))) for seed in range(100)]
            return [mine[figure] / usual[figure] for mine, usual in pairs if mine and usual and usual[figure]]

        whole = [ratio for name in names for ratio in ratios("makespan_s", name)]
        ages = [ratio for name in names for ratio in ratios("agent_p95_s", name)]
        cells = [f"{geometric_mean(found):.3f}" if (found := ratios("makespan_s", name)) else "" for name in names]
        yield [str(variant), f"{geometric_mean(whole):.3f}", f"{geometric_mean(ages):.2f}", *cells]


def kept(path: Path | None) -> dict[tuple[str, str, int], Found]:
    """Runs of earlier calls."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        (str(variant := Variant(*line["variant"])), line["case"], line["seed"]): Found(
            variant, line["case"], line["seed"], line["figures"]
        )
        for line in lines
    }


def main() -> None:
    """Run what is wanted, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="KEY", default="", help="constants whose names contain it")
    parser.add_argument("--seeds", type=int, default=3, help="0 to N-1 of each workload (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON lines: runs found there are not run again")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs side by side (default: one per core)")
    asked = parser.parse_args()
    before = kept(asked.keep)
    jobs = list(wanted(asked.only, asked.seeds))
    found = [before[key] for variant, case, seed in jobs if (key := (str(variant), case.name, seed)) in before]
    missing = [job for job in jobs if (str(job[0]), job[1].name, job[2]) not in before]
    with ProcessPoolExecutor(asked.workers) as pool:
        for one in pool.map(tried, *zip(*missing, strict=True)) if missing else ():
            found.append(one)
            if asked.keep is not None:
                with asked.keep.open("a") as file:
                    file.write(json.dumps(one._asdict()) + "\n")
    names = list(dict.fromkeys(one.case for one in found))
    printed = list(rows(found))
    heading = ["constant", "makespan x", "agent p95 x", *names]
    show("control_constants", heading, printed, {"rows": [dict(zip(heading, row, strict=True)) for row in printed]})


if __name__ == "__main__":
    main()
