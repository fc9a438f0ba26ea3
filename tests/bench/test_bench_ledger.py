"""The judge of kill_resume is itself judged: each kind of fault is found, and an innocent run has none."""

import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from concur_batch import records as r

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
import ledger

A = "conversation-000000"


def at(calls: list[int], steps: int, *, finished: bool = False) -> ledger.Ledger:
    ended = frozenset({A}) if finished else frozenset[str]()
    return ledger.Ledger({A: calls}, Counter({A: steps}), frozenset({A}), ended, frozenset(), frozenset())


def test_one_step_lost_to_each_kill_is_allowed() -> None:
    first, second = at([1, 1], 1), at([1, 2], 1)
    assert ledger.faults_between(None, first) == []
    assert ledger.faults_between(None, second) == [f"{A}: 2 steps lost to one kill"]
    assert ledger.faults_between(first, second) == []
    assert ledger.faults_between(first, at([1, 2, 1], 3, finished=True)) == []


def test_what_has_ended_makes_no_further_call() -> None:
    before = at([1, 1], 2, finished=True)
    assert ledger.faults_between(before, before) == []
    assert ledger.faults_between(before, at([2, 1], 3, finished=True)) == [
        f"{A}: had ended, and the server got 1 more calls from it"
    ]


def test_an_ended_rollout_has_all_calls_of_its_last_life_in_the_journal() -> None:
    assert "are not in the journal" in ledger.faults_between(at([1], 1), at([1, 1, 1], 2, finished=True))[0]


def test_journal_is_read_with_torn_lines_and_records_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = r.ReplyReceived(
        t=1.0,
        rollout="t000000#0",
        engine="e",
        step=1,
        n=1,
        hash="h",
        base=0,
        new=[],
        message={"role": "assistant", "content": "x"},
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
    )
    end = r.RolloutFinished(t=2.0, rollout="t000000#0", engine="e", status="completed")
    (tmp_path / "journal").mkdir()
    lines = [r.encoder.encode(x) + b"\n" for x in (reply, end)]
    (tmp_path / "journal" / "000001.jsonl").write_bytes(b"".join(lines) + b'{"kind":"torn')
    monkeypatch.setattr(ledger.processes, "counts", lambda _: {"conversations": {A: [1]}})
    found = ledger.read(tmp_path, "")
    assert (found.steps[A], found.finished, found.after_end, found.twice_done) == (1, {A}, frozenset(), frozenset())
    again = msgspec.structs.replace(reply, t=3.0)
    (tmp_path / "journal" / "000002.jsonl").write_bytes(r.encoder.encode(again) + b"\n")
    found = ledger.read(tmp_path, "")
    assert (found.after_end, found.twice_done) == ({A}, {A})
    assert ledger.faults_between(None, found)


def test_results_and_marks(tmp_path: Path) -> None:
    row = {"id": "t000000", "rollout": 0, "status": "completed"}
    assert ledger.faults_of_results([row], 1) == []
    assert ledger.faults_of_results([row, row], 2) == ["('t000000', 0): 2 result rows", "t000001: no result row"]
    marks = tmp_path / "marks"
    assert ledger.faults_of_marks(marks) == []
    marks.write_text("a/1\na/2\na/1\n")
    assert ledger.faults_of_marks(marks) == ["a/1: the tool ran 2 times"]
