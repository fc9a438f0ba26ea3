"""How long calls took, from a journal."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
import call_times

from concur_batch import records as r


def write(out, records):
    folder = out / "journal"
    folder.mkdir(parents=True)
    (folder / "000001.jsonl").write_bytes(b"".join(r.encoder.encode(record) + b"\n" for record in records))


def rollout(name, began, calls):
    """Calls one after the other, as what each waited and took; then it has ended."""
    records = [r.RolloutStarted(t=began, rollout=name, engine="e", task=name, k=0, index=0, seed=0)]
    said = {
        "base": 0,
        "new": [],
        "message": {"role": "assistant"},
        "finish_reason": "stop",
        "prompt_tokens": 9,
        "completion_tokens": 1,
    }
    for n, (wait_s, model_s) in enumerate(calls, 1):
        began += wait_s + model_s
        records.append(
            r.ReplyReceived(t=began, rollout=name, engine="e", step=n, n=n, hash="", wait_s=wait_s, model_s=model_s, **said)
        )
    return [*records, r.RolloutFinished(t=began, rollout=name, engine="e", status="completed")]


def test_waiting_counts_and_is_told_apart(tmp_path):
    write(tmp_path / "run", [*rollout("a#0", 0.0, [(0.0, 1.0)] * 19), *rollout("b#0", 0.0, [(2.0, 3.0)])])
    told = dict(zip(call_times.HEADING[:6], call_times.row(tmp_path / "run"), strict=False))
    assert told == {"run": "run", "calls": "20", "mean s": "1.200", "of it waiting": "0.100", "p95 s": "5.000", "p99 s": "5.000"}
    assert call_times.row(tmp_path / "run")[6:] == ["12.0", "19.0", "19.0", "19.0"]


def test_a_run_without_an_end_is_refused(tmp_path):
    write(tmp_path / "run", rollout("a#0", 0.0, [(0.0, 1.0)])[:-1])
    with pytest.raises(SystemExit, match="no agent has ended"):
        call_times.row(tmp_path / "run")
