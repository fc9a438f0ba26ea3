"""Signals to a run whose agents do not let go."""

import json
import signal
import time

import pytest
from forked import PIPE, Program, concur

AGENTS = """
import asyncio, time

async def sleeps(task, ctx):
    time.sleep(100)

async def spins(task, ctx):
    while True:
        pass

async def waits_in_a_thread(task, ctx):
    await asyncio.to_thread(time.sleep, 100)

async def exits(task, ctx):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaves())

async def leaves():
    raise SystemExit(3)

async def swallows(task, ctx):
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            pass
"""


def started(folder, *more, **streams):
    process = Program("run", "job.jsonl", *more, "--out", "out", cwd=folder, **streams)
    journal = folder / "out" / "journal" / "000001.jsonl"
    while not (journal.exists() and "rollout_started" in journal.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_a_terminal_that_is_closed_drains(tmp_path):
    """The kernel sends SIGHUP and the shell another: they are one."""
    calls = [{"tool_calls": [{"name": "shell", "arguments": {"command": "sleep 1.5"}}]}] * 5
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "tools": ["shell"], "script": calls}) + "\n")
    process = started(tmp_path, "--no-live", stdout=PIPE, stderr=PIPE)
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    process.communicate(timeout=30)
    assert process.returncode == 129
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["rollouts"]["begun"] == 1
    assert '"cause":"SIGHUP"' in (tmp_path / "out" / "journal" / "000001.jsonl").read_text()


@pytest.mark.parametrize("agent", ["sleeps", "spins", "swallows"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_third_leaves_at_once_also_where_an_agent_blocks_the_loop(tmp_path, agent, number, code):
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": ["done"]}) + "\n")
    process = started(tmp_path, "--agent", f"mine.py:{agent}", "--no-live", stdout=PIPE, stderr=PIPE)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.2)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert told.endswith("left at once; go on with: concur resume out\n")


def test_a_thread_of_an_agent_keeps_no_run_from_its_end(tmp_path):
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": ["done"]}) + "\n")
    process = started(tmp_path, "--agent", "mine.py:waits_in_a_thread", "--no-live", stdout=PIPE, stderr=PIPE)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.endswith("interrupted; go on with: concur resume out\n")
    assert (tmp_path / "out" / "results.parquet").exists()


def test_sys_exit_in_a_task_of_an_agent_is_told(tmp_path):
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": ["done"]}) + "\n")
    done = concur("run", "job.jsonl", "--agent", "mine.py:exits", "--out", "out", "--no-live", cwd=tmp_path)
    assert done.returncode == 4
    assert "called sys.exit(3) in a task of its own" in done.stderr
    assert (tmp_path / "out" / "results.parquet").exists()


def test_the_way_on_can_be_copied_into_a_shell(tmp_path):
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": ["done"]}) + "\n")
    done = concur("run", "job.jsonl", "--agent", "mine.py:exits", "--out", "my out", "--no-live", cwd=tmp_path)
    assert "concur resume 'my out'\n" in done.stderr
