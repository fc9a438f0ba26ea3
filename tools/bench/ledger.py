"""What the journal, the echo server and the tool's marks say about a killed run, and whether they agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import processes
import program

from concur_batch import records as r


class Ledger(NamedTuple):
    """All rollouts at one moment with no process running. Keys are conversation names."""

    calls: dict[str, list[int]]  # at the server: how often the k-th call came in
    steps: Counter[str]  # replies journalled
    started: frozenset[str]
    finished: frozenset[str]
    after_end: frozenset[str]  # with a record after their terminal one
    twice_done: frozenset[str]  # with the same step journalled twice


def conversation(rollout: str) -> str:
    """The name that the server knows it by: task t000012, rollout t000012#0 is conversation-000012."""
    return "conversation-" + rollout.partition("#")[0][1:]


def read(out: Path, url: str) -> Ledger:
    """The ledger now."""
    steps: Counter[str] = Counter()
    started: set[str] = set()
    finished: set[str] = set()
    after_end: set[str] = set()
    twice_done: set[str] = set()
    seen: set[tuple[str, int]] = set()
    for record in program.journal(out):
        rollout = getattr(record, "rollout", None)
        if rollout is None:
            continue
        name = conversation(rollout)
        if name in finished:
            after_end.add(name)
        if isinstance(record, r.RolloutStarted):
            started.add(name)
        elif isinstance(record, r.RolloutFinished):
            finished.add(name)
        elif isinstance(record, r.ReplyReceived):
            steps[name] += 1
            if (name, record.step) in seen:
                twice_done.add(name)
            seen.add((name, record.step))
    calls = processes.counts(url)["conversations"]
    return Ledger(calls, steps, frozenset(started), frozenset(finished), frozenset(after_end), frozenset(twice_done))


def unjournalled(ledger: Ledger, name: str) -> int:
    """Calls that the server answered or began, beyond the steps in the journal: those lost to kills."""
    return sum(ledger.calls.get(name, [])) - ledger.steps[name]


def faults_between(before: Ledger | None, after: Ledger) -> list[str]:
    """What one life of the program, ended by a kill, has done wrong."""
    faults = [f"{name}: a record after its end" for name in sorted(after.after_end)]
    faults += [f"{name}: a step journalled twice" for name in sorted(after.twice_done)]
    done_before = before.finished if before else frozenset()
    for name in after.calls:
        lost = unjournalled(after, name) - (unjournalled(before, name) if before else 0)
        called = sum(after.calls[name]) - (sum(before.calls.get(name, [])) if before else 0)
        if name in done_before and called:
            faults.append(f"{name}: had ended, and the server got {called} more calls from it")
        elif name in after.finished and lost > 0:
            faults.append(f"{name}: has ended, and {lost} of its calls of this life are not in the journal")
        elif lost > 1:
            faults.append(f"{name}: {lost} steps lost to one kill")
    return faults


def faults_of_results(rows: list[dict[str, Any]], rollouts: int) -> list[str]:
    """Every rollout has exactly one completed row."""
    found = Counter((row["id"], row["rollout"]) for row in rows)
    tasks = {row["id"] for row in rows}
    faults = [f"{rollout}: {number} result rows" for rollout, number in found.items() if number != 1]
    faults += [f"t{k:06d}: no result row" for k in range(rollouts) if f"t{k:06d}" not in tasks]
    faults += [f"{row['id']}: status {row['status']}" for row in rows if row["status"] != "completed"]
    return faults


def faults_of_marks(marks: Path) -> list[str]:
    """No call of a tool that is not repeatable took effect twice."""
    lines = Counter(marks.read_text().splitlines()) if marks.exists() else Counter[str]()
    return [f"{note}: the tool ran {number} times" for note, number in lines.items() if number > 1]
