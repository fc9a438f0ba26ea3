"""The same trace on the same server under several controllers, each from an empty cache; medians in one table.

    python tools/bench/policies.py --engine http://127.0.0.1:30000 --trace trace.jsonl --controllers off,fixed:8,aimd --runs 3

Runs take turns (one of each controller, then the next of each), so that a machine whose speed drifts does not favour one. What was
run is written to --json after every run, and the table is printed also where Ctrl-C or --budget-s ends it early.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from served_run import Load, run

from report import show

HEADING = [
    "controller",
    "runs",
    "makespan s",
    "x first",
    "tok/s",
    "steps/s",
    "cached",
    "missed",
    "prefilled",
    "ttft mean",
    "p99 s",
    "retr.",
]


def compare(
    load: Load, controllers: Sequence[str], runs: int, out: Path, *, json_file: Path | None, budget_s: float
) -> list[dict[str, Any]]:
    """All figures, in the order run; fewer where the time is over."""
    done: list[dict[str, Any]] = []
    began = time.monotonic()
    try:
        for number in range(runs):
            for controller in controllers:
                if time.monotonic() - began > budget_s:
                    return done
                found = {"run": number, **run(load, controller, out / folder(controller, number))}
                done.append(found)
                if json_file is not None:
                    json_file.write_text(json.dumps({"load": _told(load), "runs": done}, indent=1) + "\n")
                print(
                    f"{controller} {number + 1}/{runs}: {_seconds(found['makespan_s'])} s, {_share(found['hit_rate'])} cached",
                    flush=True,
                )
    except KeyboardInterrupt:
        print("interrupted; what has been run:")
    return done


def folder(controller: str, number: int) -> str:
    """Name of the run directory of that run."""
    return f"{controller.replace(':', '-')}-{number}"


def _told(load: Load) -> dict[str, Any]:
    return {
        "engine": load.url,
        "trace": load.trace.name,
        "agents": load.agents,
        "token_scale": load.token_scale,
        "time_scale": load.time_scale,
    }


def median(found: Sequence[dict[str, Any]], name: str) -> float | None:
    """None where no run tells it."""
    known = [row[name] for row in found if row.get(name) is not None]
    return statistics.median(known) if known else None


def rows(done: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line per controller in the order first run; `x first` is how much faster than the first of them."""
    by: dict[str, list[dict[str, Any]]] = {}
    for found in done:
        by.setdefault(found["controller"], []).append(found)
    first = median(next(iter(by.values())), "makespan_s") if by else None
    return [_row(name, found, first) for name, found in by.items()]


def _row(name: str, found: list[dict[str, Any]], first: float | None) -> list[str]:
    spans = [row["makespan_s"] for row in found if row["makespan_s"] is not None]
    middle = median(found, "makespan_s")
    spread = f" ({min(spans):.1f}-{max(spans):.1f})" if len(spans) > 1 else ""
    mark = "" if all(row["finished"] for row in found) else " cut"
    return [
        name,
        str(len(found)),
        f"{_seconds(middle)}{spread}{mark}",
        f"{first / middle:.2f}" if first and middle else "-",
        _seconds(median(found, "generated_per_s")),
        _seconds(median(found, "steps_per_s"), 2),
        _share(median(found, "hit_rate")),
        _share(median(found, "miss_rate")),
        _whole(median(found, "prefill_computed_tokens")),
        _seconds(median(found, "ttft_mean_s"), 2),
        _seconds(median(found, "ttft_p99_s")),
        _whole(median(found, "retractions")),
    ]


def _seconds(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True, help="URL of a server that nobody else uses meanwhile")
    parser.add_argument("--trace", type=Path, required=True, help="JSON lines, docs/workloads.md")
    parser.add_argument(
        "--controllers", default="off,aimd", help="as of `concur run`, with commas; with settings: forecast+touch=false"
    )
    parser.add_argument("--runs", type=int, default=1, help="of each controller")
    parser.add_argument("--agents", type=int, help="the first N of the trace")
    parser.add_argument("--token-scale", type=float, default=1.0)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--max-agents", type=int, help="most live agents under every controller")
    parser.add_argument("--more", default="", help="further options of `concur run`, as one text")
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="of one run; it is then cut, and marked")
    parser.add_argument("--drain-s", type=float, default=60.0, help="for the steps under way in a run that is cut (default 60)")
    parser.add_argument("--budget-s", type=float, default=float("inf"), help="no further run is begun after it")
    parser.add_argument("--json", type=Path, help="all figures of all runs")
    parser.add_argument("--out", type=Path, help="folder to keep the run directories in")
    given = parser.parse_args()
    more = shlex.split(given.more) + (["--max-agents", str(given.max_agents)] if given.max_agents else [])
    load = Load(
        url=given.engine.rstrip("/"),
        trace=given.trace.absolute(),
        agents=given.agents,
        token_scale=given.token_scale,
        time_scale=given.time_scale,
        timeout_s=given.timeout_s,
        drain_s=given.drain_s,
        more=more,
    )
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        controllers = given.controllers.split(",")
        done = compare(load, controllers, given.runs, out, json_file=given.json, budget_s=given.budget_s)
    show(
        "policies",
        HEADING,
        rows(done),
        {"runs": [{key: found[key] for key in ("controller", "run", "makespan_s", "hit_rate")} for found in done]},
    )


if __name__ == "__main__":
    main()
