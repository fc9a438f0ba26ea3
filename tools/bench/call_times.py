"""How long the model calls of finished runs took, what each waited before it was sent included, and how long their agents lived.

    python tools/bench/call_times.py RUN_DIR...

A makespan hangs on the last agents; the mean of a thousand calls tells smaller differences between two ways to run the same load.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from program import journal

from concur_batch.records import ReplyReceived
from concur_batch.results.tally import Tally, percentile
from report import show

HEADING = [
    "run",
    "calls",
    "mean s",
    "of it waiting",
    "p95 s",
    "p99 s",
    "agent p50 s",
    "p95 s",
    "half done s",
    "95 % done s",
    "makespan s",
]
AGENTS = ("agent_p50_s", "agent_p95_s", "done_p50_s", "done_p95_s", "makespan_s")


def row(out: Path) -> list[str]:
    """Of one run directory."""
    tally = Tally()
    calls: list[float] = []
    waited = 0.0
    for record in journal(out):
        tally.apply(record)
        if isinstance(record, ReplyReceived):
            calls.append(record.model_s + record.wait_s)
            waited += record.wait_s
    if not calls:
        raise SystemExit(f"{out}: there is no reply in its journal")
    told = [sum(calls) / len(calls), waited / len(calls), percentile(calls, 0.95), percentile(calls, 0.99)]
    found = tally.figures()
    return [out.name, str(len(calls)), *(_seconds(value, 3) for value in told), *(_seconds(found[name], 1) for name in AGENTS)]


def _seconds(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="of `concur run`")
    given = parser.parse_args()
    rows = [row(out) for out in given.runs]
    show("call_times", HEADING, rows, {"runs": len(rows)})


if __name__ == "__main__":
    main()
