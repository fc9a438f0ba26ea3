"""Bounds of one rollout: reaching one ends it with a status, not with an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from concur_batch.errors import LimitReached
from concur_batch.held import hold

T = TypeVar("T")

_log = logging.getLogger(__name__)
_SLOW_S = 1.0
_LEAVE_S = 5.0  # for an agent to end in, once cancelled


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
    """Holds an agent's work while it is awaited, and leaves it where it stands once `let_go` was called, or where it goes on though it
    was cancelled for good.

    Nothing that is raised in it ends an agent that catches whatever there is and calls again (`except:` in a loop); it would go
    round for ever, and the event loop with it.
    """

    def __init__(self, calling: Mapping[asyncio.Task[Any], object]) -> None:
        self.torn = False
        """The work has gone on for too long: no call is made any more."""
        self._calling = calling  # tasks that are in a call of ours, with what tells it: that is not left halfway
        self._cut: dict[asyncio.Task[Any], object] = {}  # the calls that were cancelled with the work, which waits for them
        self._task: asyncio.Task[Any] | None = None
        self._limit: LimitReached | None = None
        self._over: Callable[[], bool] = lambda: False
        self._patience: asyncio.TimerHandle | None = None
        self._told = False  # it was cancelled once more, and has until it waits next

    @property
    def over(self) -> bool:
        """Whether the work has been cancelled for good, not by itself."""
        return self.torn or self._over()

    async def let_go(self, limit: LimitReached) -> None:
        """`limit` is what ends the work, at once. From a task that the agent has started it cannot be; that task is slowed down."""
        if asyncio.current_task() is self._task:
            self._limit = limit
        await self.hold_up()

    async def hold_up(self) -> None:
        """For a call that comes too late: who only goes on calling is left here, where it is the work itself, and else slowed down."""
        await asyncio.sleep(0 if asyncio.current_task() is self._task else _SLOW_S)

    async def hold(self, work: Awaitable[T], over: Callable[[], bool]) -> T:
        """What the work comes to. `over`: whether its task has been cancelled for good; then it may clean up, for a while."""
        self._task, self._over = asyncio.current_task(), over
        try:
            return await hold(work, self._look)
        finally:
            if self._patience is not None:
                self._patience.cancel()
            if self.torn and self._task is not None:
                self._task.uncancel()

    def _look(self) -> BaseException | None:
        if self._patience is None and self._over():
            self._cut = dict(self._calling)
            self._wait()
        elif self._cut and not self._ends_calls():
            self._cut = {}
            self._wait()
        if self._told and self._task not in self._calling:
            return asyncio.CancelledError()
        self._told = self.torn
        return self._limit

    def _wait(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = asyncio.get_running_loop().call_later(_LEAVE_S, self._tear)

    def _ends_calls(self) -> bool:
        return any(self._calling.get(task) is call for task, call in self._cut.items())

    def _tear(self) -> None:
        assert self._task is not None
        waits = self._ends_calls()
        self._cut = {}
        if waits:  # a tool has as long to end in, and the agent from then on
            self._wait()
            return
        _log.warning(
            "rollout %s: its agent goes on though it was cancelled and had %g s to end in; it is left where it waits next",
            self._task.get_name(),
            _LEAVE_S,
        )
        self.torn = True
        self._task.cancel()  # whatever the work waits for now
