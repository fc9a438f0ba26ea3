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
    start = began
    for n, (wait_s, model_s) in enumerate(calls, 1):
        began += wait_s + model_s
        records.append(
            r.ReplyReceived(t=began, rollout=name, engine="e", step=n, n=n, hash="", wait_s=wait_s, model_s=model_s, **said)
        )
    return [*records, r.RolloutFinished(t=began, rollout=name, engine="e", status="completed", wall_s=began - start)]


def test_waiting_counts_and_is_told_apart(tmp_path):
    write(tmp_path / "run", [*rollout("a#0", 0.0, [(0.0, 1.0)] * 20), *rollout("b#0", 0.0, [(2.0, 3.0)])])
    told = call_times.row(tmp_path / "run")
    assert told[:6] == ["run", "21", "1.190", "0.095", "1.000", "4.200"]  # .99 is four fifths of the way from 1 to 5 s
    assert told[6:] == ["12.5", "19.2", "12.5", "19.2", "20.0"]  # between the two agents, which ended after 5 and 20 s


def test_a_run_without_a_reply_is_refused(tmp_path):
    write(tmp_path / "run", rollout("a#0", 0.0, []))
    with pytest.raises(SystemExit, match="there is no reply"):
        call_times.row(tmp_path / "run")
