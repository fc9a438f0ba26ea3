"""`concur engine launch`: a server for as long as it is wanted, or as a command beside it takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from concur_batch.cli.engine.companion import Companion
from concur_batch.engine.launch import Launched, port_to_use, tail
from concur_batch.engine.launch_command import RECOMMENDED, SESSION_CACHE, Start, given, start
from concur_batch.engine.launch_python import find_sglang
from concur_batch.errors import ConcurError, EngineDown, InputError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for. `port` None: 30000 or else a free one; `log` None: standard error; `then`: a command line."""

    model: str
    extra: Sequence[str] = ()
    python: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    patience_s: float = 1800.0
    log: Path | None = None
    then: str | None = None
    session_cache: bool = True


class _Log(NamedTuple):
    """Where the server's words go; no path: to our own standard error."""

    path: Path | None
    output: IO[bytes] | int

    @property
    def where(self) -> str:
        return "what it said is above" if self.path is None else f"what it said is in {self.path}"


def launch(wish: Wish) -> int:
    """Serve until told to end. Returns the exit code; raises InputError before anything is started, EngineDown where it fails."""
    companion = None if wish.then is None else Companion(wish.then)
    sglang = find_sglang(wish.python, RECOMMENDED)
    host = given(wish.extra, "--host") or wish.host
    theirs = given(wish.extra, "--port")
    # Theirs is looked at, too: another server there would pass for ours until ours has failed to take its place.
    port = port_to_use(host, int(theirs) if theirs and theirs.isdecimal() else wish.port)
    plan = start(wish.model, wish.extra, host=host, port=port, known=sglang.known, session_cache=wish.session_cache)
    if given(wish.extra, "--disable-radix-cache") is not None:
        _say("with --disable-radix-cache no prefix is ever found again: there is nothing for a controller to keep")
    if given(wish.extra, "--tool-call-parser") is None:
        _say("agents with tools need `-- --tool-call-parser NAME`; without it, tool calls arrive as text")
    with _log(wish) as log:
        _say(f"starting SGLang{f' {sglang.version}' if sglang.version else ''}: {sglang.python} {plan.shown}")
        if log.path is not None:
            _say(f"what it says goes to {log.path}")
        return asyncio.run(_serve([sglang.python, *plan.arguments], plan, wish.patience_s, companion, log))


async def _serve(command: Sequence[str], plan: Start, patience_s: float, companion: Companion | None, log: _Log) -> int:
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup
        loop.add_signal_handler(number, signals.put_nowait, number)
    server = await Launched.start(command, log.output)
    try:
        told = await _until_ready(server, plan, patience_s, signals, log)
        if told is not None:
            return 128 + told
        print(plan.url, flush=True)  # noqa: T201 - the one line on standard output
        if companion is not None:
            return await _until_ended(companion, server, plan, signals, log)
        first = await _first(server.wait(), signals.get())
        if first.which == 0:
            raise _died(first.result, plan, log)
        return 0
    finally:
        await server.end()


async def _until_ready(
    server: Launched, plan: Start, patience_s: float, signals: asyncio.Queue[signal.Signals], log: _Log
) -> signal.Signals | None:
    """None when it is ready; or the signal that ended the waiting. Raises EngineDown where it died or took too long."""
    try:
        async with asyncio.timeout(patience_s):
            first = await _first(server.wait(), signals.get(), server.ready(plan.url, plan.api_key))
    except TimeoutError:
        told = f"the server was not ready within {patience_s:g} s; {log.where}; give it longer with --patience SECONDS"
        raise EngineDown(told) from None
    if first.which == 0:
        raise _died(first.result, plan, log)
    return first.result if first.which == 1 else None


async def _until_ended(
    companion: Companion, server: Launched, plan: Start, signals: asyncio.Queue[signal.Signals], log: _Log
) -> int:
    """The companion's exit code. Signals are its own: it may have something to bring to an end, with the server still there."""
    environment = {**os.environ, "CONCUR_ENGINE": plan.url}
    if plan.api_key is not None:
        environment["CONCUR_API_KEY"] = plan.api_key
    await companion.start(environment)
    died: EngineDown | None = None
    while True:
        first = await _first(companion.wait(), signals.get(), *([] if died else [server.wait()]))
        if first.which == 0:
            if died is not None:
                raise died
            return int(first.result)
        if first.which == 1:
            companion.tell(first.result)
            continue
        died = _died(first.result, plan, log)
        _say(f"{died}; telling the command to end")
        companion.tell(signal.SIGTERM)


def _died(code: int, plan: Start, log: _Log) -> EngineDown:
    """The error, with what the server said last shown above it."""
    lines = [] if log.path is None else tail(log.path)
    for line in lines:
        print(f"  | {line}", file=sys.stderr)  # noqa: T201 - the server's own words
    hint = ""
    if SESSION_CACHE in plan.added and any(SESSION_CACHE in line for line in lines):
        hint = "; for a model whose cache cannot keep sessions apart, give --no-session-cache"
    return EngineDown(f"the server ended with code {code}; {log.where}{hint}")


class _Done(NamedTuple):
    which: int
    result: Any


async def _first(*waits: Coroutine[Any, Any, Any]) -> _Done:
    """The first of these that comes about, in their order where several did; the others are given up."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        which = next(which for which, task in enumerate(tasks) if task.done())
        return _Done(which, tasks[which].result())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _log(wish: Wish) -> Iterator[_Log]:
    """Beside a companion, whose own output the server's would tear apart, a file in any case."""
    if wish.log is None and wish.then is None:
        yield _Log(None, sys.stderr.fileno())
        return
    try:
        if wish.log is not None:
            path, file = wish.log, wish.log.open("ab")
        else:
            descriptor, name = tempfile.mkstemp(prefix="concur-sglang-", suffix=".log")
            path, file = Path(name), open(descriptor, "ab")  # noqa: SIM115, PTH123 - closed below
    except OSError as error:
        if wish.log is not None:
            raise InputError(f"--log {wish.log}: cannot be written ({error.strerror}); give another") from error
        folder = f" {Path(error.filename).parent}" if error.filename else ""  # without one, the reason names all that were tried
        told = f"temporary folder{folder}: cannot be written ({error.strerror}); give the server's output a file with --log"
        raise InputError(told) from error
    with file:
        yield _Log(path, file)


def _say(text: str | ConcurError) -> None:
    print(f"concur: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the command's progress
