"""Drives the simulated engine's core by the event loop's clock: real time, so many times faster, or virtual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore


class Pump:
    """One core and who waits for it. `speed`: engine seconds per second of the loop."""

    def __init__(self, core: EngineCore, speed: float = 1.0) -> None:
        self.core = core
        self.speed = speed
        self._zero: float | None = None
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None  # engine time that the timer is set to

    def now(self) -> float:
        """Engine seconds since this was first asked for."""
        time = asyncio.get_running_loop().time()
        if self._zero is None:
            self._zero = time
        return (time - self._zero) * self.speed

    async def generate(self, call: Call) -> None:
        """Until the call has ended. Raises sim.core.Refused; a cancelled wait aborts the call."""
        self.core.add(call, self.now())
        await self._wait(call)
        while call.finish_reason is None:
            await self._wait(call)

    async def stream(self, call: Call) -> AsyncIterator[int]:
        """How many tokens have been generated, whenever there are more. The call must be `streamed`."""
        self.core.add(call, self.now())
        told = 0
        while call.finish_reason is None:
            await self._wait(call)
            if call.generated > told:
                told = call.generated
                yield told

    async def _wait(self, call: Call) -> None:
        """Until something has happened to it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[call.rid] = future
        self.deliver()
        try:
            await future
        except asyncio.CancelledError:
            self._waiting.pop(call.rid, None)
            if call.finish_reason is None:
                self.core.abort(call.rid, self.now())
                self.deliver()
            raise

    def settle(self) -> None:
        """Bring counters and gauges up to now."""
        self.core.settle(self.now())
        self.deliver()

    def deliver(self) -> None:
        """After anything was done to the core: wake who has waited for it, and set the timer anew."""
        for event in self.core.take_events():
            future = self._waiting.get(event.call.rid)
            if future is not None and not future.done():
                future.set_result(None)
                del self._waiting[event.call.rid]
        due = self.core.next_time()
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = due
        if due is not None:
            assert self._zero is not None
            self._timer = asyncio.get_running_loop().call_at(self._zero + due / self.speed, self._wake, due)

    def _wake(self, due: float) -> None:
        self._timer = self._due = None
        self.core.run_to(max(due, self.now()))  # the clock may be a rounding short of it
        self.deliver()

    def close(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None
