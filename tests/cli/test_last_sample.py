"""What the samples of a run leave out at its end, however it ends."""

import json
import signal
import time

import pyarrow.parquet as pq
import pytest
from forked import PIPE, Program, concur

TOOLS = '''
import asyncio
from concur_batch.toolbox import tool

@tool
async def rest() -> str:
    """Take a rest."""
    await asyncio.sleep(0.03)
    return "rested"
'''


def write_job(folder, agents, steps):
    (folder / "tools.py").write_text(TOOLS)
    turns = [{"tool_calls": [{"name": "rest", "arguments": {}}]}] * steps
    rows = [{"id": f"t{i}", "prompt": "Rest.", "script": [*turns, "done"]} for i in range(agents)]
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def added_up(folder):
    """Steps, prompt and generated tokens of all samples, and the same as the summary has them."""
    rows = pq.read_table(folder / "out" / "series.parquet").to_pylist()
    summary = json.loads((folder / "out" / "summary.json").read_text())
    sums = [sum(row[name] or 0 for row in rows) for name in ("steps", "prompt_tokens", "generated_tokens")]
    return sums, [summary["steps"], summary["tokens"]["prompt"], summary["tokens"]["generated"]]


def test_samples_add_up_to_all_steps_of_a_finished_run(tmp_path):
    write_job(tmp_path, agents=3, steps=2)
    for n in ("1", "2"):
        more = ("run", "job.jsonl", "--tools", "tools.py", "--out", "out") if n == "1" else ("resume", "out", "--n", n)
        assert concur(*more, "--no-live", cwd=tmp_path).returncode == 0
        samples, summary = added_up(tmp_path)
        assert samples == summary
    assert summary[0] == 18


@pytest.mark.parametrize("signals", [1, 2])
def test_samples_add_up_to_all_steps_of_an_interrupted_run(tmp_path, signals):
    write_job(tmp_path, agents=2, steps=1000)
    more = ("run", "job.jsonl", "--tools", "tools.py", "--set", "limits.max_steps=none", "--out", "out", "--no-live")
    with Program(*more, cwd=tmp_path, stdout=PIPE, stderr=PIPE) as process:
        journal = tmp_path / "out" / "journal" / "000001.jsonl"
        while not (journal.exists() and journal.read_text().count("reply_received") > 20):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        process.communicate(timeout=60)
    assert process.returncode == 130
    samples, summary = added_up(tmp_path)
    assert samples == summary
    assert summary[0] > 20
