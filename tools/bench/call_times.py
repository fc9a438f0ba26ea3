"""How long the model calls of finished runs took, what each waited before it was sent included, and how long their agents lived.

    python tools/bench/call_times.py RUN_DIR...

A makespan hangs on the last agents; the mean of a thousand calls tells smaller differences between two ways to run the same load.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from program import journal

from concur_batch.records import ReplyReceived, RolloutFinished, RolloutStarted
from concur_batch.results.tally import Tally
from report import show

HEADING = ["run", "calls", "mean s", "of it waiting", "p95 s", "p99 s", "agent mean s", "p95 s", "3 in 4 done s", "makespan s"]


def row(out: Path) -> list[str]:
    """Of one run directory."""
    tally = Tally()
    calls: list[float] = []
    waited = 0.0
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for record in journal(out):
        tally.apply(record)
        if isinstance(record, ReplyReceived):
            calls.append(record.model_s + record.wait_s)
            waited += record.wait_s
        elif isinstance(record, RolloutStarted):
            began.setdefault(record.rollout, record.t)
        elif isinstance(record, RolloutFinished):
            ended[record.rollout] = record.t
    if not calls or not ended:
        raise SystemExit(f"{out}: no agent has ended in its journal")
    lives = sorted(at - began[rollout] for rollout, at in ended.items())
    done = sorted(at - min(began.values()) for at in ended.values())
    calls.sort()
    told = [sum(calls) / len(calls), waited / len(calls), _share(calls, 0.95), _share(calls, 0.99)]
    figures = [f"{value:.3f}" for value in told]
    times = [sum(lives) / len(lives), _share(lives, 0.95), _share(done, 0.75), tally.figures()["makespan_s"]]
    return [out.name, str(len(calls)), *figures, *(f"{value:.1f}" for value in times)]


def _share(ordered: list[float], share: float) -> float:
    """That of which so many are at most as long."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="of `concur run`")
    given = parser.parse_args()
    rows = [row(out) for out in given.runs]
    show("call_times", HEADING, rows, {"runs": len(rows)})


if __name__ == "__main__":
    main()
