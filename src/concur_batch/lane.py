"""One engine and all that belongs to it: its gate, the calls in flight, meter, policy, and whether it is there.

An agent is bound to one lane when admitted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from concur_batch import records as r
from concur_batch.calls import Calls, Deadline
from concur_batch.control.base import UNLIMITED, AgentView, EngineStats, Limit, Sample
from concur_batch.control.meter import CacheMeter
from concur_batch.control.policies import Policy
from concur_batch.control.steering import Steering
from concur_batch.engine.base import Engine, Reply, Request
from concur_batch.errors import EngineError, unnamed
from concur_batch.gate import Gate
from concur_batch.in_flight import InFlight
from concur_batch.lane_records import Helps, decided, sampled, seen
from concur_batch.presence import Presence
from concur_batch.recorder import Recorder
from concur_batch.retry import Effort, backoff_s, complete_with_retries
from concur_batch.touches import Touches

_log = logging.getLogger(__name__)
_MESSAGE = 300  # characters of an attempt's error that are recorded
_LAST_READING_S = 1.0  # that the end of a run waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """How patient to be with an engine (seconds), and what of its help to use."""

    attempts: int = 6  # of one model call
    poll_s: float = 1.0  # between two samples
    poll_timeout_s: float = 5.0
    wait_s: float = 600.0  # for a lost engine to return
    sessions: bool = True  # name each agent's session to a server that has them, and close it when the agent ends
    priority: bool = True  # give each request a priority, on a server that heeds it


class Completed(NamedTuple):
    """A reply and what it took. Seconds."""

    reply: Reply
    model_s: float  # last attempt
    wait_s: float  # for others to begin with, request limit, engine away
    retries: int
    retry_s: float


class Lane:
    """`model`: what it serves, for tasks that name none. `on_room`: called when an agent may perhaps start. `starting`: whether a new one waits for that alone.
    `on_gone`: called when the engine is given up.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        model: str,
        options: LaneOptions,
        recorder: Recorder,
        *,
        max_agents: int,
        seed: int,
        on_room: Callable[[], None],
        starting: Callable[[], bool],
        on_gone: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.policy = policy
        self.model = model
        self._options = options
        self._recorder = recorder
        self._max_agents = max_agents
        self._speed = engine.capabilities.speed
        self._ahead_s = 0.0  # its clock, of the loop's at this speed
        self._random = random.Random(f"{seed}/{engine.name}")  # noqa: S311 - jitter of retries
        self._decided = self._bounded(policy.controller.first)
        self._steering = Steering()
        self.gate = Gate(engine.name, policy.admission, self._decided, recorder, on_room, self._clock, starting)
        self._touches = Touches(engine)
        self._in_flight = InFlight(self._decided, self._clock, lambda: engine.capabilities.speed, self._touch)
        self.meter = CacheMeter(engine.name)
        self._announced = Helps(sessions=False, priority=False)
        self._seen = engine.capabilities  # as recorded
        self._models = engine.capabilities.models  # as listed last, by what is taken for this engine
        self._uncounted = False  # a reply has come without token counts
        self.presence = Presence(engine, recorder, options.wait_s, on_gone=on_gone, on_return=self._returned, unfit=self._unfit)
        self._misses = 0  # failed readings in a row
        self._rests = Calls()  # that wait to be made, or to be made again

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    def model_for(self, begun_with: str) -> str:
        """What to ask for where nobody names a model: that which a rollout began with, unless the engine says that it serves others."""
        return begun_with if begun_with and self.engine.capabilities.may_serve(begun_with) else self.model

    @property
    def standing(self) -> int:
        """Agents that stand still: no tool of theirs runs, and all their calls wait: at a boundary, for the engine, or to be made (again)."""
        waiting = self.presence.waiting + self._rests.by_rollout
        return sum(self.gate.stands(rollout, waiting[rollout]) for rollout in self.gate.paused_rollouts | waiting.keys())

    def committed_share(self) -> float:
        """Of the pool, in contexts of active agents; where the pool is not known, by number of agents."""
        capacity = self.engine.capabilities.capacity_tokens
        return self.gate.load_tokens / capacity if capacity else self.gate.active / self._max_agents

    @property
    def unlimited(self) -> bool:
        """Whether nobody is held back here."""
        limit = self.gate.limit
        return limit.tokens >= UNLIMITED and limit.agents >= self._max_agents

    def has_room(self, view: AgentView) -> bool:
        """Whether this new agent may start here now."""
        return self.presence.lost is None and self.gate.has_room(view)

    def _clock(self) -> float:
        """Seconds of the engine, which may be a faster simulation. Where one of another speed has come in its place they go on."""
        now, speed = asyncio.get_running_loop().time(), self.engine.capabilities.speed
        if speed != self._speed:
            self._ahead_s += now * (self._speed - speed)
            self._speed = speed
        return now * speed + self._ahead_s

    @property
    def note(self) -> str | None:
        """What the user should know of this engine under this policy."""
        can = self.engine.capabilities
        notes = []
        if can.statistics in ("replies", "none") and self.policy.blind is not None:
            notes.append(f"tells no cache statistics: {self.policy.blind}")
        if can.refused:
            notes.append(f"refuses {' and '.join(can.refused)}, so requests go without")
        if self._uncounted:
            notes.append("some of its replies tell no token counts, and limits on tokens leave them out")
        return "; ".join(notes) or None

    @property
    def helps(self) -> Helps:
        """What of the engine's own help for agents is in use now: it has it, and it is wanted."""
        can, options = self.engine.capabilities, self._options
        return Helps(can.session_close and options.sessions, can.priority and options.priority)

    def announce(self) -> None:
        """Record what the engine is and which policy holds."""
        self._record_engine()
        self._record_limit(self._decided)

    def _record_engine(self) -> None:
        self._announced, self._seen = self.helps, self.engine.capabilities
        record = seen(
            self._seen,
            t=self._recorder.now(),
            engine=self.name,
            model=self.model,
            policy=self.policy.name,
            helps=self._announced,
            note=self.note,
        )
        self._recorder.write(record)

    # Model calls -----------------------------------------------------------------------------------------------------

    async def complete(self, request: Request, deadline: Deadline | None = None, effort: Effort | None = None) -> Completed:
        """One model call with retries. Raises an EngineError that retrying cannot help, or EngineGone.

        `effort` is kept up meanwhile, for whoever cuts the call off.
        """
        clock = asyncio.get_running_loop().time
        presence, effort = self.presence, effort or Effort()
        broken: EngineError | None = None  # how the last attempt broke off, `broken_s` after it was sent
        broken_s, breaks = 0.0, 0
        while True:
            if presence.lost is not None:
                generation, waited_s, gone = presence.generation, effort.wait_s, clock() - broken_s
                try:
                    await presence.until_back(request.rollout, deadline)
                finally:
                    effort.wait_s += clock() - gone
                if broken is not None and generation == presence.generation:  # there all along: as after any failed attempt
                    effort.wait_s, pause_s = waited_s, backoff_s(self._random, breaks)
                    self._retried(request, effort, gone - effort.retry_s, breaks, broken, pause_s)
                    await self._rest(request.rollout, deadline, effort, pause_s)
                else:
                    effort.retries += broken is not None
            self._touches.calls(request.rollout)
            if not await self._turn(request.rollout, deadline, effort):
                broken, broken_s = None, 0.0
                continue
            sent, lost_s = clock(), effort.retry_s
            try:
                with presence.calls.of(request.rollout, deadline):
                    reply, retry_s = await complete_with_retries(
                        self.engine,
                        replace(request, request_id=f"{request.request_id}+{breaks}") if breaks else request,
                        self._random,
                        attempts=self._options.attempts,
                        on_retry=partial(self._retried, request, effort, sent - lost_s),
                        sleep=partial(self._rest, request.rollout, deadline, effort),
                    )
            except EngineError as error:
                # At the last, it has been there each time one looked, and gone in every call.
                if breaks == self._options.attempts or not await presence.may_be_gone(error):
                    effort.retry_s = lost_s + clock() - sent
                    effort.tell(error)
                    raise
                broken, broken_s, breaks = error, clock() - sent - (effort.retry_s - lost_s), breaks + 1
                presence.lose(str(error))
            else:
                self._touches.answered(request)
                uncounted = not self._uncounted and reply.prompt_tokens == reply.completion_tokens == 0
                self._uncounted = self._uncounted or uncounted
                if (uncounted or self.helps != self._announced) and not presence.away:  # one of them has just been refused
                    self._record_engine()
                return Completed(reply, clock() - sent - retry_s, effort.wait_s, effort.retries, lost_s + retry_s)
            finally:
                self._in_flight.release()

    async def _turn(self, rollout: str, deadline: Deadline | None, effort: Effort) -> bool:
        """Wait until this call may begin. False: it has not, as the engine was found to be away meanwhile."""
        if not self._in_flight.took():
            clock = asyncio.get_running_loop().time
            asked = clock()
            try:
                with self._rests.of(rollout, deadline), self.presence.calls.of(rollout, deadline):
                    await self._in_flight.acquire()
            finally:
                effort.wait_s += clock() - asked
        if self.presence.lost is None:
            return True
        self._in_flight.release()
        return False

    def _retried(self, request: Request, effort: Effort, since: float, number: int, error: EngineError, pause_s: float) -> None:
        """Tell of the coming retry. `since`: when it would have been sent, had all that was lost been lost at once."""
        _log.warning("rollout %s, step %d: %s; retry %d in %.1f s", request.rollout, request.step, error, number, pause_s)
        effort.retries += 1
        effort.retry_s = asyncio.get_running_loop().time() - since
        self._recorder.write(
            r.CallRetried(
                t=self._recorder.now(),
                rollout=request.rollout,
                engine=self.name,
                step=request.step,
                n=request.n,
                error=type(error).__name__,
                message=str(error)[:_MESSAGE],
                retries=effort.retries,
                retry_s=round(effort.retry_s, 6),
                pause_s=round(pause_s, 6),
            )
        )

    async def _rest(self, rollout: str, deadline: Deadline | None, effort: Effort, seconds: float) -> None:
        """Between two attempts of a call: a boundary, too, where a drain finds the agent."""
        began = asyncio.get_running_loop().time()
        try:
            with self._rests.of(rollout, deadline):
                await asyncio.sleep(seconds)
                await self.gate.pass_unless_draining()
        finally:
            effort.retry_s += asyncio.get_running_loop().time() - began

    def drain(self) -> None:
        """Nobody makes another call; the wait for those who still do is nobody's time."""
        self.gate.drain()
        self._in_flight.drain()
        self._rests.suspend()

    def _unfit(self) -> str | None:
        """Why what stands there now cannot go on: it serves other models. Its answers would be theirs, as servers do not check the name."""
        can, before = self.engine.capabilities, self._models
        if not can.models or not before or any(map(can.lists, before)):
            return None
        served = ", ".join(before)
        return f"{self.name} serves {', '.join(can.models)} now, and served {served} before: start it with {served} again"

    def _returned(self) -> None:
        """Another server may stand there now."""
        self._misses, self._models = 0, self.engine.capabilities.models or self._models
        if self.engine.capabilities != self._seen or self.helps != self._announced:
            self._record_engine()

    # Control ---------------------------------------------------------------------------------------------------------

    async def control(self, to_come: Callable[[], tuple[int, float]], lag: Callable[[], float]) -> None:
        """Sample, update, resize, record; until cancelled. Intervals are seconds of the engine.

        `to_come`: agents that have not started on any engine, and the share of them that falls to this one.
        """
        alone = False  # touches have begun when no call did
        while True:
            can = self.engine.capabilities
            await asyncio.sleep(self._options.poll_s / can.speed)
            sample = self._sample(await self._reading(), to_come, lag, alone=alone)
            self._decided = self._bounded(self.policy.controller.update(sample))
            self._record_limit(self._decided)
            limit = self._steering.in_force(self._decided, self._max_agents)
            self.gate.resize(limit)
            self._in_flight.resize(limit)
            alone = self._touch()
            if self.presence.lost is None:
                self._touches.want(self.gate.touched())

    def _touch(self) -> bool:
        """Begin the touches that are wanted, while the engine is there. Whether there were any."""
        return self.presence.lost is None and self._touches.begin()

    def _sample(
        self,
        stats: EngineStats | None,
        to_come: Callable[[], tuple[int, float]],
        lag: Callable[[], float],
        *,
        alone: bool = False,
    ) -> Sample:
        """Close the interval, and record it."""
        touches = self._touches.counted()
        new, share = to_come()
        sample = self.meter.sample(
            self._clock(),
            stats,
            active=self.gate.active,
            waiting=new + self.gate.paused,
            share=share,
            committed_tokens=self.gate.committed_tokens,
            begun=self._in_flight.begun() + alone,
            frees_ended=self.helps.sessions,
            host_tokens=self.engine.capabilities.host_tokens or 0,
            held=self._steering.held,
            factor=self._steering.factor,
        )
        now, meter = self._recorder.now(), self.meter
        self._recorder.write(sampled(sample, t=now, steps=meter.steps, lag_s=lag(), touches=touches, stale=meter.stale))
        return sample

    async def sample_rest(self, to_come: Callable[[], tuple[int, float]], lag: Callable[[], float], *, read: bool) -> None:
        """When all is over: record what has come since the last sample. No limit follows from it. `read`: ask the engine, too."""
        stats = None
        if read and self.presence.lost is None:
            with contextlib.suppress(Exception):  # as in `_reading`; what replies told is there in any case
                async with asyncio.timeout(_LAST_READING_S):
                    stats = await self.engine.stats()
        self._sample(stats, to_come, lag)

    def leave(self, view: AgentView, *, ended: bool) -> None:
        """The agent goes; `ended` False: only from this segment. Once."""
        self._touches.forget(view.rollout)
        self.gate.leave(view, ended=ended)

    def steer(self, steering: Steering) -> None:
        """What a person asks for, from now on. It stands beside what the controller decides, which goes on deciding."""
        self._steering = steering
        limit = steering.in_force(self._decided, self._max_agents)
        self.gate.steer(limit, held=steering.held)
        self._in_flight.resize(limit)

    async def _reading(self) -> EngineStats | None:
        if self.presence.away:  # what answers may be another server
            return None
        try:
            async with asyncio.timeout(self._options.poll_timeout_s):
                stats = await self.engine.stats()
        except Exception as error:  # noqa: BLE001 - a reading that cannot be had or understood is no evidence, whatever the cause
            self._misses += 1
            _log.warning("%s: no statistics: %s: %s", self.name, type(error).__name__, error)
            if self._misses >= 3 and self.presence.lost is None and not await self.engine.ready():
                why = unnamed(str(error), self.name) or "no answer"
                self.presence.lose(f"statistics cannot be read ({why}), and it is not ready")
            return None
        self._misses = 0
        return stats

    def _bounded(self, limit: Limit) -> Limit:
        return limit._replace(agents=self._max_agents) if limit.agents > self._max_agents else limit

    def _record_limit(self, limit: Limit) -> None:
        self._recorder.write(decided(limit, t=self._recorder.now(), engine=self.name))

    async def close(self) -> None:
        """End the watch and the connections."""
        await self._touches.close()
        await self.presence.close()
        await self.engine.aclose()
