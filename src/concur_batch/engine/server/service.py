"""The engine behind the endpoints: calls go in, are counted when they end, and are ended when their client is gone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import NamedTuple

from concur_batch.engine.pump import Pump
from concur_batch.engine.server.problems import LateProblem, Problem
from concur_batch.engine.server.serve import ServerSettings
from concur_batch.engine.server.tally import Tally
from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore, PauseMode, Refused
from concur_batch.sim.runs import Run

_FLUSH_RETRY_S = 0.02
_BY_SCHEDULER = "Input length"  # how it words its own refusals


class Said(NamedTuple):
    """A request of an open session: all its tokens, and the rid it had."""

    rid: str
    tokens: list[Run]


class Service:
    """One server's state.

    Args:
        settings: of the server.
        core: its scheduler and cache.
        epoch: wall-clock seconds when the engine's clock is first looked at.
    """

    def __init__(self, settings: ServerSettings, core: EngineCore, epoch: float) -> None:
        self.settings = settings
        self.options = settings.options
        self.tokenizer = settings.tokenizer
        self.core = core
        self.pump = Pump(core, settings.speed)
        self.tally = Tally(settings)
        self.unwritten = core.reporter.gauges  # as long as these stand, no gauge has been written
        self.sessions: dict[str, list[Said]] = {}  # opened by /open_session
        self._calls: dict[str, Call] = {}
        self._epoch = epoch
        self._zero: float | None = None
        self.chars_per_token = settings.tokenizer.text("x")[0].chars

    def now(self) -> float:
        """Engine seconds."""
        now = self.pump.now()
        if self._zero is None:
            self._zero = now
        return now

    def wall(self, time: float | None = None) -> float:
        """Seconds since 1970 of that engine time, by default now: the server's own clock runs as fast as its engine."""
        now = self.now()
        assert self._zero is not None
        return self._epoch + (now if time is None else time) - self._zero

    # Calls ------------------------------------------------------------------------------------------------------------

    async def generate(self, call: Call) -> None:
        """Until it has ended. Raises Problem where it cannot be served; a cancelled wait ends it."""
        self._enter(call)
        try:
            await self.pump.generate(call)
        except Refused as error:
            raise Problem(str(error)) from None
        finally:
            self._leave(call)

    async def stream(self, call: Call) -> AsyncGenerator[int, None]:
        """How many tokens there are, whenever there are more. Raises Problem, LateProblem for what the scheduler refuses, before
        the first; closing it ends the call.
        """
        self._enter(call)
        try:
            async for generated in self.pump.stream(call):
                if call.max_new_tokens != 0:
                    yield generated
        except Refused as error:
            told = str(error)
            raise (LateProblem if told.startswith(_BY_SCHEDULER) else Problem)(told) from None
        finally:
            self._leave(call)

    async def check(self, call: Call) -> None:
        """A call of the server's own: as `generate`, but no request that anybody counts."""
        self.now()
        await self.pump.generate(call)

    def _enter(self, call: Call) -> None:
        if call.rid in self._calls or call.rid in self.core:
            raise Problem(f"Duplicate request ID detected: {call.rid}")
        self._calls[call.rid] = call
        self.now()

    def _leave(self, call: Call) -> None:
        del self._calls[call.rid]
        if call.max_new_tokens == 0:
            call.generated = 0  # the prefill makes a token, which nobody is told
        if call.finish_reason is not None:
            self.tally.ended(call)
        elif call.rid in self.core:  # its client is gone
            self.core.abort(call.rid, self.now())
            self.pump.deliver()

    # Control ----------------------------------------------------------------------------------------------------------

    def abort(self, rid: str) -> None:
        """End that request; an unknown one does nothing."""
        if rid in self._calls:
            self.tally.aborted()
            self.core.abort(rid, self.now())
            self.pump.deliver()

    def abort_all(self) -> None:
        """End all requests."""
        self.tally.aborted()
        if not self._calls:
            return
        now = self.now()
        for rid in list(self._calls):
            self.core.abort(rid, now)
        self.pump.deliver()

    async def flush(self, timeout_s: float) -> bool:
        """Empty the cache, if need be within so many engine seconds; False where something still runs or waits."""
        until = self.now() + timeout_s
        while not self.core.flush(self.now()):
            self.pump.deliver()
            left = until - self.now()
            if left <= 0:
                return False
            await asyncio.sleep(min(left / self.settings.speed, _FLUSH_RETRY_S))
        self.pump.deliver()
        return True

    def pause(self, mode: PauseMode) -> None:
        """Start no further iteration."""
        self.core.pause(mode, self.now())
        self.pump.deliver()

    def resume(self) -> None:
        """Go on."""
        self.core.resume(self.now())
        self.pump.deliver()

    def open_session(self, session: str | None) -> str | None:
        """Its id; None where that one is open."""
        session = session or uuid.uuid4().hex
        if session in self.sessions:
            return None
        self.sessions[session] = []
        return session

    def close_session(self, session: str) -> None:
        """Its KV is dead; unknown ids do nothing."""
        self.sessions.pop(session, None)
        self.core.end_session(session, self.now())
        self.pump.deliver()
