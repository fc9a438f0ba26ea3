"""SIGTERM as an interruption, like Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends what is inside as Ctrl-C does; a second one ends us at once."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise Terminated from None
        loop.call_soon(_end)  # from between two steps of tasks: in one, it would be that task's failure

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end() -> None:
    raise Terminated


def exit_code(end: KeyboardInterrupt) -> int:
    """As a shell tells of whoever dies by that signal."""
    return 128 + (signal.SIGTERM if isinstance(end, Terminated) else signal.SIGINT)
