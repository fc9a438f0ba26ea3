"""Says who holds the event loop: an agent or a tool that waits without `await` holds everybody, also the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import concur_batch

_LOOK_S = 1.0
_LONG = 10  # looks in a row that have found the loop standing still

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def told(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """While this lasts, one sentence on standard error and in the log for each time that the loop stands still for long."""
    watch = _Watch(loop, threading.get_ident())
    threading.Thread(target=watch.look, name="concur-blocked", daemon=True).start()
    try:
        yield
    finally:
        watch.over.set()


class _Watch:
    """Counts its own looks and reads no clock: a process that was stopped and goes on has not been held by anybody."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._loop = loop
        self._thread = thread
        self._goes_on = True
        self.over = threading.Event()

    def look(self) -> None:
        held = 0
        while not self.over.wait(_LOOK_S):
            held = 0 if self._goes_on else held + 1
            if self._goes_on:
                self._goes_on = False
                with contextlib.suppress(RuntimeError):  # closed in this moment
                    self._loop.call_soon_threadsafe(self._beat)
            if held == _LONG:
                _tell(sys._current_frames().get(self._thread))  # noqa: SLF001 - the one way to it

    def _beat(self) -> None:
        self._goes_on = True


def _tell(frame: FrameType | None) -> None:
    text = (
        f"nothing goes on for {_LONG * _LOOK_S:g} s: {_place(frame)} holds the event loop; an async function must not wait "
        "without `await` (use asyncio.to_thread, or a plain function for a tool)"
    )
    say(text)


def say(text: str) -> None:
    """Write a sentence to standard error, which a live display may hold, and to the log."""
    _log.warning(text)
    with contextlib.suppress(OSError):
        os.write(2, f"\r\n{text}\r\n".encode())


def _place(frame: FrameType | None) -> str:
    """The innermost line that is the user's own, else the innermost."""
    ours = (
        str(Path(concur_batch.__file__).parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        "<",
    )
    innermost = frame
    while frame is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    found = frame or innermost
    return "something" if found is None else f"{found.f_code.co_filename}:{found.f_lineno} ({found.f_code.co_name})"
