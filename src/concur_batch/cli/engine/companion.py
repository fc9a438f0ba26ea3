"""The command that runs beside a launched server: found, started, told of signals, waited for."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from concur_batch.engine.launch import tied
from concur_batch.errors import InputError


class Companion:
    """One command line, without a shell. It stays in our process group, so that it may use the terminal."""

    def __init__(self, line: str) -> None:
        """Raises InputError where `line` names no program."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise InputError(f"--then {line!r}: is no command line ({error}); mind the quotes") from None
        if not words:
            raise InputError("--then: is empty; give a command, such as --then 'concur run jobs.jsonl'")
        self._arguments = [_program(words[0]), *words[1:]]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: Mapping[str, str]) -> None:
        """It ends with us: by SIGTERM, where we are killed."""
        self._process = await asyncio.create_subprocess_exec(*tied(self._arguments, os.getpid()), env=dict(environment))

    async def wait(self) -> int:
        """Its exit code; 128 + N where signal N ended it."""
        assert self._process is not None
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def tell(self, number: signal.Signals) -> None:
        """Pass a signal on. Ctrl-C on our terminal has reached it already, and a second would tell it to hurry."""
        if number == signal.SIGINT and _in_foreground():
            return
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def _program(name: str) -> str:
    """Where it is; programs beside our own Python, `concur` first of all, need not be on the PATH."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (shutil.which(str(beside)) if "/" not in name else None)
    if found is None:
        raise InputError(f"--then: there is no program {name!r}; give one that is installed, or its path (no shell is used)")
    return found


def _in_foreground() -> bool:
    """Whether the terminal's own signals go to our process group, wherever standard input comes from."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:  # there is none
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
