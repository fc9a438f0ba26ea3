"""Bounds of one rollout: reaching one ends it with a status, not with an error."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class LimitReached(BaseException):
    """Ends the rollout with `status`. Not an Exception, so that an agent's own `except Exception` cannot swallow it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class WallTime:
    """The limit on a rollout's wall time; suspended while it is paused or its engine is away. Used as a context manager."""

    def __init__(self, seconds: float | None) -> None:
        self._left = seconds
        self._timeout = asyncio.timeout(None)
        self._since: float | None = None  # None: suspended

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
        """Stop the clock."""
        if self._left is not None and self._since is not None:
            self._left -= asyncio.get_running_loop().time() - self._since
            self._since = None
            self._timeout.reschedule(None)

    def resume(self) -> None:
        """Let it run on."""
        if self._left is not None and self._since is None and not self._timeout.expired():
            self._since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._since + max(0.0, self._left))
