"""A strict event loop in virtual time: when every task waits, the clock jumps to the next timer.

The shipped asyncio code runs on it unchanged. It fires equal deadlines in the order they were set (asyncio's heap does not
promise that), and raises on deadlock, on livelock, on any socket or thread, and when a callback has raised.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")

_LIVELOCK = 1_000_000  # turns of the loop without the clock moving


class VirtualTimeError(RuntimeError):
    """The code under virtual time did what only real time allows, or waits for ever."""


class _Selector(selectors.BaseSelector):
    """Never sleeps: a wait for a timer moves the clock instead. The loop's own wake-up pipe is the only file it knows."""

    def __init__(self) -> None:
        self._map: dict[Any, selectors.SelectorKey] = {}
        self.now = 0.0
        self.broken: Exception | None = None
        self._idle_turns = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self._map:
            raise VirtualTimeError("a socket or pipe was opened in virtual time")
        key = self._map[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.broken is not None:
            broken, self.broken = self.broken, None
            raise broken
        if timeout is None:
            raise VirtualTimeError("deadlock: every task waits, and no timer is set")
        if timeout > 0:
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
            self._idle_turns = 0
            return []
        self._idle_turns += 1
        if self._idle_turns > _LIVELOCK:
            self._idle_turns = 0  # leaves room to cancel what still runs
            raise VirtualTimeError(f"livelock: {_LIVELOCK} turns of the event loop without time passing, at {self.now} s")
        return []

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return self._map


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and only moves when nothing else is left to do."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        self._set = 0
        super().__init__(self._virtual)
        self.set_exception_handler(self._broken)
        self._clock_resolution = 1e-9  # asyncio fires what is due within it: covers the rounding of now + timeout

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback has raised: whoever waited for it would wait for ever."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, Exception) and self._virtual.broken is None:
            self._virtual.broken = error
        else:
            loop.default_exception_handler(context)

    def call_at(  # type: ignore[override] # typeshed's signature needs TypeVarTuple for nothing here
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but equal deadlines fire in the order they were set."""
        self._set += 1
        return super().call_at(_Deadline(when, self._set), callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override] # noqa: ARG002
        """Refused: a thread lives in real time."""
        raise VirtualTimeError(f"a thread was asked for in virtual time, to run {func!r}")


class _Deadline(float):
    """A point in time that, among equals, sorts by when it was set."""

    __slots__ = ("order",)

    def __new__(cls, when: float, order: int) -> Self:
        self = super().__new__(cls, when)
        self.order = order
        return self

    order: int

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Deadline) and float(self) == float(other):
            return self.order < other.order
        return float(self) < float(other)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time. Raises VirtualTimeError on deadlock, livelock, sockets and threads."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
