"""Bounds of one rollout: reaching one ends it with a status, not with an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self, TypeVar

from concur_batch.errors import LimitReached
from concur_batch.held import hold

T = TypeVar("T")

_SLOW_S = 1.0


class WallTime:
    """The limit on a rollout's wall time; suspended while it is paused or its engine is away. Used as a context manager.

    It stands still as long as anything has it suspended: several calls at once may wait.
    """

    def __init__(self, seconds: float | None) -> None:
        self._left = seconds
        self._timeout = asyncio.timeout(None)
        self._suspended = 1  # times more than resumed; the first until it is entered
        self._since = 0.0

    @property
    def expired(self) -> bool:
        """Whether it has run out."""
        return self._timeout.expired()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self.resume()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left = None  # a call that the agent left under way stops and starts nothing any more
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            if not self._timeout.expired():
                raise
            raise LimitReached("timeout") from late

    def suspend(self) -> None:
        """Stop the clock. Once it has run out it is left alone: the rollout may take a while to end."""
        self._suspended += 1
        if self._suspended == 1 and self._left is not None and not self._timeout.expired():
            self._left -= asyncio.get_running_loop().time() - self._since
            self._timeout.reschedule(None)

    def resume(self) -> None:
        """Let it run on, unless it has been suspended more often."""
        self._suspended -= 1
        if self._suspended == 0 and self._left is not None and not self._timeout.expired():
            self._since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._since + max(0.0, self._left))


class Leash:
    """Holds an agent's work while it is awaited, and leaves it where it stands once `let_go` was called.

    Nothing that is raised in it ends an agent that catches whatever there is and calls again (`except:` in a loop); it would go
    round for ever, and the event loop with it.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._limit: LimitReached | None = None

    async def let_go(self, limit: LimitReached) -> None:
        """`limit` is what ends the work, at once. From a task that the agent has started it cannot be; that task is slowed down."""
        if asyncio.current_task() is not self._task:
            await asyncio.sleep(_SLOW_S)
            return
        self._limit = limit
        await asyncio.sleep(0)

    async def hold(self, work: Awaitable[T]) -> T:
        """What the work comes to."""
        self._task = asyncio.current_task()
        return await hold(work, lambda: self._limit)
