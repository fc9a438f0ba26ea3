"""Whether one engine is there: who waits for it meanwhile, and the watch for its return.

Down is not failed: calls that broke off wait here until the engine is ready again. An engine may also stand still with all its
connections open; then the calls under way wait at the engine itself, and are answered should it go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from concur_batch import records as r
from concur_batch.calls import Calls, Deadline
from concur_batch.engine.base import Engine
from concur_batch.errors import ConcurError, EngineBusy, EngineDown, EngineError, EngineFailed, unnamed
from concur_batch.recorder import Recorder

_log = logging.getLogger(__name__)


class EngineGone(ConcurError):
    """A lost engine did not return in time: the run ends once no other has agents, resumable (exit 3)."""

    error_class = "engine_down"
    exit_code = 3


class Presence:
    """Of one engine. `wait_s`: how long it may be away; then `on_gone` is called, and it is waited for all the same. `on_return`: it is back, and asked what it is.
    `unfit`: why a server that is ready where it was, and asked what it is, cannot go on in its place; None: it can.
    """

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        wait_s: float,
        *,
        on_gone: Callable[[], None],
        on_return: Callable[[], None],
        unfit: Callable[[], str | None],
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._wait_s = wait_s
        self._on_gone = on_gone
        self._on_return = on_return
        self._unfit = unfit
        self.lost: str | None = None  # why, from the first sign on until it is ready
        self._in_its_place = False  # stands another server
        self.gone: EngineGone | None = None  # it was given up, and has not returned
        self.generation = 0  # how often the engine has come back: its cache was then empty
        self.away = False  # lost, and when one looked it was not ready
        self.calls = Calls()  # that are under way, or wait for others to begin
        self._parked = Calls(suspended=True)  # that wait here
        self._back: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> Counter[str]:
        """Calls of each rollout that wait for the engine: here, or under way where it is away and will not answer."""
        return self._parked.by_rollout + (self.calls.by_rollout if self.away else Counter())

    def lose(self, message: str) -> None:
        """Something looks as if it were gone: nobody makes a call until one has seen that it is ready."""
        if self.lost is None:
            self.lost = message
            loop = asyncio.get_running_loop()
            self._back = loop.create_future()
            self._watch = loop.create_task(self._watched(), name=f"watch {self._engine.name}")

    async def may_be_gone(self, error: EngineError) -> bool:
        """By how a call failed. Else it is there, and fails; away, it does not answer in time, says that it is not ready, or a proxy says so."""
        if not isinstance(error, EngineDown | EngineBusy | EngineFailed):
            return False
        return self.lost is not None or isinstance(error, EngineDown) or not await self._engine.ready()

    async def until_back(self, rollout: str, deadline: Deadline | None) -> None:
        """Wait for a lost engine."""
        assert self._back is not None
        with self._parked.of(rollout, deadline):
            await asyncio.shield(self._back)

    async def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _watched(self) -> None:
        try:
            await self._watch_return()
        except Exception as error:  # noqa: BLE001 - whoever waits would wait for ever
            _log.exception("%s: the watch for its return failed", self._engine.name)
            self._give_up(f"whether it is there cannot be told: {type(error).__name__}: {error}")

    async def _watch_return(self) -> None:
        """Poll until it is back; an engine that only dropped connections is ready at once and nobody is told."""
        assert self._back is not None
        assert self.lost is not None
        clock = asyncio.get_running_loop().time
        started, pause = clock(), 0.1
        while not await self._is_back():
            if not self.away:
                self._recorder.write(r.EngineLost(t=self._recorder.now(), engine=self._engine.name, message=self.lost))
                self._leave()
            if clock() - started > self._wait_s and self.gone is None:
                self._give_up(f"did not return within {self._wait_s:g} s after this: {unnamed(self.lost, self._engine.name)}")
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 1.5)
        if self.away:
            self._return(clock() - started)
        self.lost = self.gone = None
        self._back.set_result(None)

    async def _is_back(self) -> bool:
        """Ready, and where it was away, known to be of use: else another server stands there, which is told once."""
        if not await self._engine.ready():
            if self._in_its_place:
                self._in_its_place = False
                self._tell(f"{self._engine.name} does not answer any more")
            return False
        if not self.away:
            return True
        try:
            await self._engine.probe()
        except Exception as error:  # noqa: BLE001 - it has to say what it is, as at the start
            why = unnamed(str(error), self._engine.name) or type(error).__name__
            self._tell(f"{self._engine.name} is ready and does not say what it is ({why})")
            return False
        unfit = self._unfit()
        self._in_its_place = unfit is not None
        if unfit is not None:
            self._tell(unfit)
        return unfit is None

    def _give_up(self, why: str) -> None:
        self.gone = EngineGone(f"{self._engine.name}: {why}")
        _log.warning("%s", self.gone)
        self._on_gone()

    def _tell(self, why: str) -> None:
        """Why it is still away; once."""
        if why == self.lost:
            return
        self.lost = why
        _log.warning(why)
        self._recorder.write(r.EngineLost(t=self._recorder.now(), engine=self._engine.name, message=why))

    def _leave(self) -> None:
        self.away = True
        self.calls.suspend()

    def _return(self, away_s: float) -> None:
        self.away = False
        self.calls.resume()
        self.generation += 1
        self._on_return()
        self._recorder.write(r.EngineReturned(t=self._recorder.now(), engine=self._engine.name, away_s=round(away_s, 3)))
