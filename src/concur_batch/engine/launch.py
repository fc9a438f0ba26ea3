"""A server of our own as a process: started, waited for, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.port import bound
from concur_batch.errors import InputError

_LOOK_S = 0.5  # between two looks whether it is ready
_GUARD = str(Path(__file__).with_name("launch_guard.py"))
TAIL_LINES = 15
_TAIL_BYTES = 16_384


class Launched:
    """One server and its guard. Nothing of it is left after `end`, or when this process is gone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._exit = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, command: Sequence[str], log: IO[bytes] | int) -> Launched:
        """Start `command`; all it says goes to `log`. Its own terminal signals do not reach it: it is in another session."""
        process = await asyncio.create_subprocess_exec(
            *_guarded("guard"), *command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        return cls(process)

    async def ready(self, url: str, api_key: str | None) -> None:
        """Return when it takes requests at `url`; for ever if it does not come to that."""
        engine = OpenAIEngine(url, api_key or "EMPTY")
        try:
            while not await engine.ready():  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(_LOOK_S)
        finally:
            await engine.aclose()

    async def wait(self) -> int:
        """Its exit code, when it has ended; 128 + N where signal N ended it."""
        return await asyncio.shield(self._exit)

    async def end(self) -> None:
        """End it, politely for some seconds; return when all its processes are gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # which is what the guard waits for
        await self.wait()


def tied(command: Sequence[str], parent: int) -> list[str]:
    """The command that becomes `command`, and gets SIGTERM when the process `parent`, which runs it, is gone."""
    return [*_guarded("tie"), str(parent), *command]


def _guarded(how: str) -> list[str]:
    # Isolated, as neither the folder of this file nor the user's variables concern it.
    return [sys.executable, "-I", _GUARD, how]


def port_to_use(host: str, wanted: int | None, default: int = 30_000) -> int:
    """The wanted port if it can be had; `default` or else any free one where none is wanted; 0: any free one.

    Raises InputError with the mend.
    """
    if wanted is None:
        with contextlib.suppress(InputError):
            return _port(host, default)
    return _port(host, wanted or 0)


def _port(host: str, port: int) -> int:
    with bound(host, port) as held:
        return int(held.getsockname()[1])


def tail(log: Path) -> list[str]:
    """The last lines of a log, as far as there are any."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
