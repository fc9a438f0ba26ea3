"""Keys of the live dashboard, on real terminals: what they do to a run, and that the terminal comes back as it was."""

import contextlib
import json
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest
from forked import CONCUR
from hypothesis import given
from hypothesis import strategies as st
from on_terminal import OnTerminal

from concur_batch.cli.keyboard import keys_in
from concur_batch.cli.keys import RUN_KEYS, RunKeys, WatchKeys
from concur_batch.control.steering import Steering

# What was pressed -----------------------------------------------------------------------------------------------------------


def test_keys_are_taken_from_bursts_and_from_between_arrow_keys():
    assert keys_in(b"p", RUN_KEYS) == "p"
    assert keys_in(b"+++-", RUN_KEYS) == "+++-"
    assert keys_in(b"\x1b[Ap\x1bOp\x1b[1;5C\x1b", RUN_KEYS) == "p"


@given(st.text(min_size=1).filter(lambda text: any(c not in RUN_KEYS and c != "\x1b" for c in text.split("\x1b")[0])))
def test_what_was_pasted_is_no_keys(text):
    assert keys_in(text.encode(), RUN_KEYS) == ""


@given(st.binary(max_size=40))
def test_whatever_comes_only_known_keys_are_heard(data):
    assert set(keys_in(data, RUN_KEYS)) <= set(RUN_KEYS)


# What they do -----------------------------------------------------------------------------------------------------------------


@dataclass
class Steered:
    """As much of a runner as keys know."""

    steering: Steering = field(default_factory=Steering)
    asked: list = field(default_factory=list)

    def steer(self, steering):
        self.steering = steering
        self.asked.append((steering.held, steering.factor))


def test_keys_tell_of_how_many_rollouts_the_run_is():
    runner = Steered()
    RunKeys(runner, lambda: None, 7).press("-")
    assert runner.steering.rollouts == 7


def test_each_key_does_what_the_page_says():
    runner, quits = Steered(), []
    keys = RunKeys(runner, lambda: quits.append("q"))
    for key in "p++-=0p":
        keys.press(key)
    assert runner.asked == [(True, 1.0), (True, 1.1), (True, 1.21), (True, 1.1), (True, 1.21), (True, 1.0), (False, 1.0)]
    keys.press("e")
    assert keys.views.shown == "errors"
    keys.press("e")
    assert keys.views.shown == "main"
    keys.press("q")
    assert quits == ["q"]


def test_one_who_looks_on_can_leave_and_see_errors():
    left = []
    keys = WatchKeys(lambda: left.append(True))
    keys.press("e")
    assert (keys.views.shown, left) == ("errors", [])
    keys.press("q")
    assert left == [True]


# On terminals -----------------------------------------------------------------------------------------------------------------


def write_job(path, count=6, steps=200, command="sleep 0.2"):
    turns = [{"tool_calls": [{"name": "shell", "arguments": {"command": command}}]}] * steps
    rows = [{"id": f"t{i}", "prompt": "x", "tools": ["shell"], "script": [*turns, "done"]} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def records(run_dir, kind=None):
    found = []
    for path in sorted((run_dir / "journal").glob("*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                record = json.loads(line)
                if kind in (None, record["kind"]):
                    found.append(record)
    return found


def steered(run_dir):
    return [(x.get("held", False), x.get("factor", 1.0)) for x in records(run_dir, "steered")]


def run(tmp_path, *more, job=None, **options):
    job = job or write_job(tmp_path / "job.jsonl")
    return OnTerminal(*CONCUR, "run", job, "--out", "out", "--set", "limits.max_steps=500", *more, cwd=tmp_path, **options)


def begun(terminal, run_dir, count=1):
    terminal.until(lambda: len(records(run_dir, "tool_finished")) >= count, "tool calls")


def listening(terminal):
    terminal.until(lambda: not terminal.takes_lines, "keys")
    assert terminal.is_blocking


def test_p_holds_admission_and_the_others_scale_the_limit(tmp_path):
    out = tmp_path / "out"
    job = write_job(tmp_path / "job.jsonl", count=6, steps=4)
    with run(tmp_path, "-c", "fixed:2", job=job) as terminal:
        begun(terminal, out)
        listening(terminal)
        terminal.type("p")
        terminal.until(lambda: len(records(out, "rollout_finished")) == 2, "the active end")
        assert len(records(out, "rollout_started")) == 2
        terminal.type("++")
        terminal.type("-")
        terminal.type("0")
        terminal.type("\x1b[A")
        terminal.type("p")
        assert terminal.code() == 0
        assert terminal.is_as_before
    assert len(records(out, "rollout_finished")) == 6
    assert steered(out) == [(True, 1.0), (True, 1.1), (True, 1.21), (True, 1.1), (True, 1.0), (False, 1.0)]
    assert terminal.raw.count(b"\x1b[?25h") >= terminal.raw.count(b"\x1b[?25l")


def test_q_drains_once_and_ctrl_c_then_stops(tmp_path):
    out = tmp_path / "out"
    job = write_job(tmp_path / "job.jsonl", count=2, steps=3, command="sleep 600")
    with run(tmp_path, job=job) as terminal:
        terminal.until(lambda: len(records(out, "tool_started")) >= 2, "tool calls")
        listening(terminal)
        terminal.type("q")
        terminal.until(lambda: records(out, "drain_started"), "the drain")
        terminal.type("q")
        terminal.type("qp+")
        terminal.type("\x03")
        assert terminal.code() == 130
        assert terminal.is_as_before
    assert [x["cause"] for x in records(out, "drain_started")] == ["q"]
    assert records(out)[-1]["cause"] == "stopped"
    assert steered(out) == []
    assert "concur resume out" in terminal.shown


def test_q_lets_every_agent_end_its_step(tmp_path):
    out = tmp_path / "out"
    with run(tmp_path) as terminal:
        begun(terminal, out)
        listening(terminal)
        terminal.type("q")
        assert terminal.code() == 130
        assert terminal.is_as_before
    assert records(out)[-1]["cause"] == "drained"
    assert len(records(out, "tool_started")) == len(records(out, "tool_finished"))


def test_ctrl_c_is_still_a_signal(tmp_path):
    out = tmp_path / "out"
    with run(tmp_path) as terminal:
        begun(terminal, out)
        listening(terminal)
        terminal.type("\x03")
        assert terminal.code() == 130
        assert terminal.is_as_before
    assert [x["cause"] for x in records(out, "drain_started")] == ["SIGINT"]


def test_one_who_leaves_at_once_has_his_terminal_back(tmp_path):
    (tmp_path / "stubborn.py").write_text(
        "import asyncio\n"
        "from concur_batch.agent import agent\n"
        "@agent\n"
        "async def stay(task, ctx):\n"
        "    await ctx.complete([{'role': 'user', 'content': 'x'}])\n"
        "    while True:\n"
        "        try:\n            await asyncio.sleep(1)\n"
        "        except asyncio.CancelledError:\n            pass\n"
    )
    out = tmp_path / "out"
    (tmp_path / "job.jsonl").write_text('{"prompt": "x", "script": ["y"]}\n')
    with run(tmp_path, "--agent", "stubborn.py:stay", job=tmp_path / "job.jsonl") as terminal:
        terminal.until(lambda: records(out, "reply_received"), "a reply")
        listening(terminal)
        terminal.type("\x03")
        terminal.until(lambda: records(out, "drain_started"), "the drain")
        while terminal.process.poll() is None:
            terminal.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.process.wait(0.3)
        assert terminal.code() == 130
        assert terminal.is_as_before
    assert terminal.raw.rstrip().endswith(b"\x1b[?25h")


def test_without_the_live_display_the_terminal_is_left_alone(tmp_path):
    out = tmp_path / "out"
    job = write_job(tmp_path / "job.jsonl", count=2, steps=5)
    with run(tmp_path, "--no-live", job=job) as terminal:
        begun(terminal, out)
        assert terminal.is_as_before
        terminal.type("qp")
        assert terminal.code() == 0
    assert steered(out) == []


def test_a_job_typed_at_the_terminal_is_no_keys(tmp_path):
    out = tmp_path / "out"
    with run(tmp_path, job="-") as terminal:
        terminal.type(write_job(tmp_path / "job.jsonl", count=1, steps=5).read_text())
        for _ in range(3):  # a reader with a buffer asks again
            terminal.type("\x04")
        begun(terminal, out)
        assert terminal.is_as_before
        terminal.type("q")
        assert terminal.code() == 0
        assert terminal.is_as_before
    assert steered(out) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_ctrl_z_gives_the_terminal_back_and_in_the_background_nobody_reads_it(tmp_path):
    out = tmp_path / "out"
    write_job(tmp_path / "job.jsonl", count=2, steps=400, command="sleep 0.1")
    concur = " ".join(CONCUR)
    with OnTerminal("bash", "--norc", "--noprofile", "--noediting", "-i", cwd=tmp_path) as terminal:
        terminal.type(f"{concur} run job.jsonl --out out --set limits.max_steps=500\n")
        begun(terminal, out)
        listening(terminal)
        terminal.type("\x1a")
        terminal.until_shown("Stopped")
        terminal.until(lambda: terminal.takes_lines, "the shell's terminal")
        terminal.type("bg\n")
        before = len(records(out, "tool_finished"))
        begun(terminal, out, before + 5)
        terminal.type("echo pq$((40 + 2))pq\n")  # for the shell; it holds p and q
        terminal.until_shown("pq42pq")
        assert terminal.takes_lines
        terminal.type("fg\n")
        listening(terminal)
        terminal.type("p")
        terminal.until(lambda: steered(out) == [(True, 1.0)], "the key")
        terminal.type("\x1a")
        terminal.until(lambda: terminal.takes_lines, "the shell's terminal again")
        terminal.type("fg\n")
        listening(terminal)
        terminal.type("q")
        terminal.until(lambda: records(out)[-1]["kind"] == "segment_finished", "the end")
        terminal.until(lambda: terminal.takes_lines, "the shell's terminal at last")
        terminal.type("exit\n")
        terminal.code()
    assert [x["cause"] for x in records(out, "drain_started")] == ["q"]
    assert steered(out) == [(True, 1.0)]
