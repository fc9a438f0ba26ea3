"""`--on-exit`: the user's own command after a run, which tells whom it concerns. Nothing it does changes the run's exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

from concur_batch.cli.run.segment import Batch, Outcome


def tell(batch: Batch, outcome: Outcome, exit_code: int) -> None:
    """Run the command, if one is set, and wait for it. Does nothing where the run left no summary."""
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
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=env, text=True, process_group=0)  # noqa: S602 - the user's own command line
    except (OSError, ValueError) as error:
        signal.signal(signal.SIGTERM, before)
        return f"could not be started ({error})"
    try:
        process.communicate(json.dumps(told) + "\n", timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"was killed, as it took longer than {timeout_s:g} s (run.on_exit_timeout_s)"
    except KeyboardInterrupt:
        return "was interrupted"
    finally:
        _kill_group(process)
        signal.signal(signal.SIGTERM, before)
    if process.returncode < 0:
        return f"was ended by signal {-process.returncode}"
    return f"ended with exit code {process.returncode}" if process.returncode else None


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
    raise KeyboardInterrupt


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Whatever of it is left, whoever its children are."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
