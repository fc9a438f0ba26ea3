"""Ctrl-Z, `bg` and `fg` as a shell does them: whose the screen is, and that it is whole again afterwards."""

import contextlib
import os
import shutil
import signal
import time

import pytest
from forked import CONCUR
from on_terminal import OnTerminal
from test_keys import begun, listening, records, write_job

SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")
RUN = " ".join(CONCUR) + " run job.jsonl --out out --set limits.max_steps=900"
WATCH = " ".join(CONCUR) + " watch out"
CLEAR = b"\x1b[H\x1b[2J"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")


@pytest.fixture
def out(tmp_path):
    write_job(tmp_path / "job.jsonl", count=2, steps=800, command="sleep 0.1")
    yield tmp_path / "out"
    for segment in records(tmp_path / "out", "segment_started"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(segment["pid"], signal.SIGKILL)


def stopped(terminal):
    here = len(terminal.shown)
    terminal.type("\x1a")
    terminal.until_shown("Stopped", here)
    terminal.until(lambda: terminal.takes_lines, "the shell's terminal")


def continued(terminal):
    clears = terminal.raw.count(CLEAR)
    terminal.type("fg\n")
    terminal.until(lambda: terminal.raw.count(CLEAR) > clears, "a clear screen")


def to_be_watched(terminal, command):
    """A run, if this command does not begin one."""
    if command == WATCH:
        terminal.type(f"setsid {RUN} --no-live >/dev/null 2>&1 </dev/null\n")


@pytest.mark.parametrize("command", [RUN, WATCH])
def test_after_a_short_stop_and_after_bg_the_picture_begins_anew_and_in_the_background_nothing_is_drawn(tmp_path, out, command):
    with OnTerminal(*SHELL, cwd=tmp_path) as terminal:
        to_be_watched(terminal, command)
        terminal.type(f"{command}\n")
        begun(terminal, out)
        listening(terminal)
        terminal.until_shown("elapsed")
        stopped(terminal)
        continued(terminal)
        stopped(terminal)
        terminal.type("bg\n")
        terminal.type("echo pq$((40 + 2))pq\n")
        terminal.until_shown("pq42pq")
        here = len(terminal.raw)
        time.sleep(1.5)  # three drawings
        assert terminal.raw[here:].count(b"\x1b[") == 0
        continued(terminal)
        listening(terminal)
        here = len(terminal.shown)
        terminal.until_shown("elapsed", here)


def test_the_end_in_the_background_leaves_the_shells_screen_alone(tmp_path):
    write_job(tmp_path / "job.jsonl", count=1, steps=30, command="sleep 0.1")
    out = tmp_path / "out"
    with OnTerminal(*SHELL, cwd=tmp_path) as terminal:
        terminal.type(f"{RUN}\n")
        begun(terminal, out)
        listening(terminal)
        stopped(terminal)
        terminal.type("bg\n")
        here = len(terminal.raw)
        terminal.until(lambda: records(out)[-1]["kind"] == "segment_finished", "the end")
        terminal.until(lambda: b"results" in terminal.raw[here:], "the summary")
        assert CLEAR not in terminal.raw[here:]
        assert b"elapsed" not in terminal.raw[here:]


def test_one_that_never_is_in_the_foreground_ends_with_a_plain_line(tmp_path):
    write_job(tmp_path / "job.jsonl", count=1, steps=10, command="sleep 0.1")
    with OnTerminal("bash", "-c", f"timeout 60 {RUN}; true", cwd=tmp_path) as terminal:
        assert terminal.code() == 0
        terminal.until_shown("1/1 ended (100%)")
        assert "elapsed" not in terminal.shown
        assert b"\x1b[?25l" not in terminal.raw  # the cursor


@pytest.mark.parametrize("command", [RUN, WATCH])
def test_one_that_began_in_the_background_draws_when_it_is_brought_here(tmp_path, out, command):
    with OnTerminal(*SHELL, cwd=tmp_path) as terminal:
        to_be_watched(terminal, command)
        terminal.type(f"{command} &\n")
        begun(terminal, out)
        time.sleep(1.5)  # three drawings
        terminal.type("echo pq$((40 + 2))pq\n")
        terminal.until_shown("pq42pq")
        assert b"\x1b[?25l" not in terminal.raw
        assert "elapsed" not in terminal.shown
        terminal.type("fg\n")
        listening(terminal)
        terminal.until_shown("elapsed")


def test_one_that_is_ended_in_the_background_says_that_it_drains(tmp_path, out):
    with OnTerminal(*SHELL, cwd=tmp_path) as terminal:
        terminal.type(f"{RUN} &\n")
        begun(terminal, out)
        terminal.type("kill -INT %1\n")
        terminal.until_shown("draining: every agent finishes its step; once more stops at once")
        terminal.until_shown("interrupted; go on with:")
