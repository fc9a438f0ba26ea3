"""One command, from its start to its end, as the runner sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import struct
from dataclasses import dataclass

from concur_batch.errors import SandboxError
from concur_batch.toolbox.processes.link import WardenLink, memory_file
from concur_batch.toolbox.processes.strays import kill_strays
from concur_batch.toolbox.truncate import HeadTail

START_S = 30.0  # for the warden to take a command
PATIENCE_S = 5.0  # for a supervisor to end its tree


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended. `exit_code` as a shell counts (128 + signal), None where it was ended for `ended`."""

    output: str  # stdout and stderr as they came, without the middle where there was too much
    truncated: bool = False
    exit_code: int | None = None
    ended: str | None = None  # wall | cpu | memory | processes | output | lost | failed | cancelled


class _Output(asyncio.Protocol):
    """What the tree prints. Keeps head and tail, and calls `too_much` beyond `max_bytes`."""

    def __init__(self, call: Call, kept_bytes: int, max_bytes: int) -> None:
        self.kept = HeadTail(kept_bytes)
        self.closed = asyncio.get_running_loop().create_future()
        self._call = call
        self._max_bytes = max_bytes

    def data_received(self, data: bytes) -> None:
        self.kept.add(data)
        if self.kept.total > self._max_bytes:
            self._call.stop("output")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's)
        if not self.closed.done():
            self.closed.set_result(None)


class _Report(asyncio.Protocol):
    """What the supervisor tells: `taken`, `started SUPERVISOR CHILD`, `ended REASON STATUS`."""

    def __init__(self) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._told = b""

    def data_received(self, data: bytes) -> None:
        self._told += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's)
        if not self.closed.done():
            self.closed.set_result(None)

    def line(self, kind: str) -> list[str] | None:
        """The words after `kind` in its line, if it has come whole."""
        for line in self._told.decode().splitlines(keepends=True):
            words = line.split()
            if words[0] == kind and line.endswith("\n"):
                return words[1:]
        return None


class Call:
    """Made for one command; `run` once, `stop` at any time."""

    def __init__(self, *, kept_bytes: int, max_bytes: int) -> None:
        self.token = secrets.token_hex(12)
        self._kept_bytes = kept_bytes
        self._max_bytes = max_bytes
        self._stopped: str | None = None
        self._report: _Report | None = None
        self._line: asyncio.WriteTransport | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def stopped(self) -> str | None:
        """Why, where it was."""
        return self._stopped

    def stop(self, reason: str) -> None:
        """End the whole tree; `run` returns soon after, with `reason` as what ended it."""
        if self._stopped is not None:
            return
        self._stopped = reason
        if self._line is not None:
            self._ask_to_stop()

    async def run(self, link: WardenLink, request: bytes, stdin: bytes) -> CommandResult:
        """From start to end. Raises SandboxError where it could not be started."""
        for _ in range(2):  # a warden that was killed takes with it what it had not begun
            result = await self._run_once(link, request, stdin)
            if result is not None:
                return result
        raise SandboxError("a command could not be started: no more processes, or no memory")

    async def _run_once(self, link: WardenLink, request: bytes, stdin: bytes) -> CommandResult | None:
        """None: nothing was begun."""
        loop = asyncio.get_running_loop()
        ours, stdout = await self._send(link, stdin)
        self._line, self._report = await loop.create_connection(_Report, sock=ours)
        reader, output = await loop.connect_read_pipe(
            lambda: _Output(self, self._kept_bytes, self._max_bytes), os.fdopen(stdout, "rb", 0)
        )
        try:
            self._line.write(struct.pack("!I", len(request)) + request)
            if self._stopped is not None:
                self._ask_to_stop()
            await self._report.closed
            if self._report.line("taken") is None and self._stopped is None:
                return None
            if self._report.line("ended") is None:
                await self._end_lost(self._report, link)
            await asyncio.wait({output.closed}, timeout=1.0)
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._line.close()
            reader.close()
        return self._result(self._report, output)

    async def _send(self, link: WardenLink, stdin: bytes) -> tuple[socket.socket, int]:
        """Hand the command's descriptors to the warden; our ends of call and stdout."""
        with contextlib.ExitStack() as kept:
            try:
                async with asyncio.timeout(START_S), link.turn:
                    with contextlib.ExitStack() as given:
                        source = memory_file(stdin)
                        given.callback(os.close, source)
                        ours, call = socket.socketpair()
                        kept.enter_context(ours)
                        given.enter_context(call)
                        read, write = os.pipe()
                        kept.callback(os.close, read)
                        given.callback(os.close, write)
                        await link.send([call.fileno(), source, write])
            except OSError as error:  # TimeoutError among them
                told = str(error) or "the warden does not answer"
                raise SandboxError(f"no command can be started: {told}") from error
            ours.setblocking(False)  # noqa: FBT003  (positional only)
            kept.pop_all()
        return ours, read

    def _ask_to_stop(self) -> None:
        if self._line is not None and not self._line.is_closing():
            self._line.write_eof()
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._insist)

    def _insist(self) -> None:
        """The supervisor does not answer: it hangs, or was stopped by its own command."""
        started = self._report.line("started") if self._report is not None else None
        if started is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(started[0]), signal.SIGKILL)
        if self._line is not None:
            self._line.abort()

    async def _end_lost(self, report: _Report, link: WardenLink) -> None:
        """The supervisor is gone, killed by its own command perhaps, and the tree may still live."""
        started = report.line("started")
        if started is not None:
            with contextlib.suppress(OSError):
                os.killpg(int(started[1]), signal.SIGKILL)
        await asyncio.to_thread(kill_strays, self.token, link.pid)

    def _result(self, report: _Report, output: _Output) -> CommandResult:
        kept = output.kept.cut()
        reason, status = report.line("ended") or ("lost", "0")
        ended: str | None = None
        code: int | None = None
        if reason == "exit" and self._stopped != "output":
            code = os.waitstatus_to_exitcode(int(status))
            code = 128 - code if code < 0 else code
            ended = "cpu" if code == 128 + signal.SIGXCPU else None
        else:
            ended = self._stopped if self._stopped is not None else reason
        return CommandResult(output=kept.text, truncated=kept.truncated, exit_code=code if ended is None else None, ended=ended)
