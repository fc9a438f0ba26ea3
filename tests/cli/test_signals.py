"""Signals to a run whose agents do not let go."""

import json
import signal
import time

import pytest
from program import PIPE, Program

AGENTS = """
import asyncio, time

async def sleeps(task, ctx):
    time.sleep(100)

async def spins(task, ctx):
    while True:
        pass

async def swallows(task, ctx):
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize("agent", ["sleeps", "spins", "swallows"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_third_leaves_at_once_also_where_an_agent_blocks_the_loop(tmp_path, agent, number, code):
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": ["done"]}) + "\n")
    process = Program(
        "run", "job.jsonl", "--agent", f"mine.py:{agent}", "--out", "out", "--no-live", cwd=tmp_path, stdout=PIPE, stderr=PIPE
    )
    journal = tmp_path / "out" / "journal" / "000001.jsonl"
    while not (journal.exists() and "rollout_started" in journal.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.2)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert told.endswith("left at once; go on with: concur resume out\n")
