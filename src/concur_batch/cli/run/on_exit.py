"""`--on-exit`: the user's own command after a run, which tells whom it concerns. Nothing it does changes the run's exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from concur_batch.cli.run.segment import Batch, Outcome


def tell(batch: Batch, outcome: Outcome, exit_code: int) -> None:
    """Run the command, if one is set, and wait for it. Does nothing where there is no summary, as nothing began."""
    run = batch.config.run
    if run.on_exit is None or outcome.summary is None:
        return
    error = outcome.error
    told = {
        "run_dir": str(batch.run_dir.absolute()),
        "exit_code": exit_code,
        "error": None if error is None else {"class": error.error_class, "message": str(error)},
        **outcome.summary,
        "ended": outcome.cause,  # also where a full disk kept it from the journal
    }
    problem = run_command(run.on_exit, told, run.on_exit_timeout_s)
    if problem is not None:
        print(f"concur: --on-exit: the command {problem}; the run itself is not touched by that", file=sys.stderr)  # noqa: T201 - for the user


def run_command(command: str, told: dict[str, Any], timeout_s: float) -> str | None:
    """Run it through the shell, `told` on its standard input. Returns what went wrong, None for nothing.

    It has a process group of its own, which is killed when it ends, takes too long, or is interrupted.
    """
    env = {**os.environ, "CONCUR_RUN_DIR": told["run_dir"], "CONCUR_EXIT_CODE": str(told["exit_code"])}
    with _signals() as signals:
        try:
            process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=env, text=True, process_group=0)  # noqa: S602 - the user's own command line
        except (OSError, ValueError) as error:
            return f"could not be started ({error})"
        try:
            signals.interrupt()
            process.communicate(json.dumps(told) + "\n", timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"was killed, as it took longer than {timeout_s:g} s (run.on_exit_timeout_s)"
        except KeyboardInterrupt:
            return "was interrupted"
        finally:
            signals.hold()
            _kill_group(process)
    if process.returncode < 0:
        return f"was ended by signal {-process.returncode}"
    return f"ended with exit code {process.returncode}" if process.returncode else None


class _Signals:
    """SIGINT and SIGTERM raise KeyboardInterrupt only where that is looked for, so that no process is left behind."""

    def __init__(self) -> None:
        self._came = self._raising = False

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form of a signal handler
        self._came = True
        if self._raising:
            raise KeyboardInterrupt

    def interrupt(self) -> None:
        """From now on they raise, also one that has come already."""
        self._raising = True
        if self._came:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """They wait again."""
        self._raising = False


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    found = _Signals()
    before = {number: signal.signal(number, found.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Whatever of it is left, whoever its children are."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
