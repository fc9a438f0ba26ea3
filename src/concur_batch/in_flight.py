"""The model calls in flight on one engine: how many there may be, and which begin together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from concur_batch.control.base import Limit

_MOMENT_S = 0.01  # calls that begin within it meet in one prefill


class InFlight:
    """`limit`: its `requests`, `together` and `hold_s` hold here. `clock`: the engine's seconds; `speed`: how many pass in one of the loop.
    `on_begin`: called whenever a call begins.
    """

    def __init__(
        self, limit: Limit, clock: Callable[[], float], speed: Callable[[], float], on_begin: Callable[[], object] = lambda: None
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._speed = speed
        self._on_begin = on_begin
        self._calls = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._hold: asyncio.TimerHandle | None = None  # when it ends, whoever waits begins
        self._draining = False
        self._begun, self._last = 0, -math.inf

    def took(self) -> bool:
        """Whether one more call may begin at once; then it has."""
        alone = self._calls and self._limit.together > 1
        if alone or self._queue or self._draining or self._calls >= self._limit.requests:
            return False
        self._begin()
        return True

    async def acquire(self) -> None:
        """Wait until one more call may begin, in order of asking."""
        if self.took():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(future)
        self._admit()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """One call has come back."""
        self._calls -= 1
        if self._queue:
            self._admit()

    def resize(self, limit: Limit) -> None:
        """What holds from now on."""
        self._limit = limit
        self._admit()

    def drain(self) -> None:
        """From now on no call begins."""
        self._draining = True

    def begun(self) -> int:
        """Moments since this was last asked at which calls have begun: as many prefills, or more where they are long."""
        begun, self._begun = self._begun, 0
        return begun

    def _admit(self) -> None:
        """Those who wait, if they are enough or nobody is in flight who would lose by it; else once the first has waited long enough."""
        if self._calls and len(self._queue) < self._limit.together:
            if self._queue and self._hold is None:
                self._hold = asyncio.get_running_loop().call_later(self._limit.hold_s / self._speed(), self._admit_all)
            return
        self._admit_all()

    def _admit_all(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        while self._queue and self._calls < self._limit.requests and not self._draining:
            future = self._queue.popleft()
            if not future.done():
                self._begin()
                future.set_result(None)

    def _begin(self) -> None:
        self._calls += 1
        now = self._clock()
        if now - self._last > _MOMENT_S:
            self._begun, self._last = self._begun + 1, now
        self._on_begin()
