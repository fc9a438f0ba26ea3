"""The runner's end of the warden: starts it when first needed, and hands it the descriptors of each command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import concur_batch

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[2]); from concur_batch.toolbox.processes.warden import main; main(int(sys.argv[1]))"
)


class WardenLink:
    """One warden process, started again should it be lost."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # to make the descriptors of a command and send them: few are open at a time for that
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The warden's, while there is one."""
        return None if self._process is None else self._process.pid

    async def send(self, descriptors: list[int]) -> None:
        """Hand over call, stdin and stdout of one command. Raises OSError where no warden can be started."""
        for attempt in (1, 2):
            link = self._socket or self._start()
            try:
                await _send(link, descriptors)
            except ConnectionError:  # it was killed since the last command
                self._forget()
                if attempt == 2:
                    raise
            else:
                return

    async def aclose(self) -> None:
        """Let the warden end. Supervisors end by themselves when their calls are closed."""
        process = self._process
        self._forget()
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, 5)
            except subprocess.TimeoutExpired:  # one of its commands stopped it
                process.kill()
                await asyncio.to_thread(process.wait)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            packages = str(Path(concur_batch.__file__).resolve().parent.parent)
            self._process = subprocess.Popen(  # noqa: S603  (our own program)
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, str(theirs.fileno()), packages],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},  # readable by commands: no secrets
                cwd="/",
                start_new_session=True,  # Ctrl-C is the runner's
            )
        ours.setblocking(False)  # noqa: FBT003  (positional only)
        self._socket = ours
        return ours

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0)
        self._socket = self._process = None


async def _send(link: socket.socket, descriptors: list[int]) -> None:
    while True:
        try:
            socket.send_fds(link, [b"+"], descriptors)
        except BlockingIOError:  # hundreds of commands wait to be started
            await asyncio.sleep(0.01)
        else:
            return


def memory_file(data: bytes) -> int:
    """A descriptor from which a command reads these bytes, however many."""
    with os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "wb") as file:
        file.write(data)
        file.seek(0)
        return os.dup(file.fileno())
