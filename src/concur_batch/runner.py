"""Start rollouts while there is room, watch the engines, and end in order: finished, drained, or stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

from concur_batch import records as r
from concur_batch.control.base import AgentView
from concur_batch.control.steering import Steering
from concur_batch.errors import AgentError
from concur_batch.lane import Lane
from concur_batch.recorder import Recorder
from concur_batch.rollout import Rollout, live
from concur_batch.toolbox.base import Toolbox

_LAG_TICK_S = 0.25
_PROCESS = ""  # stands among the lanes' names for the process as a whole


class Runner:
    """One segment of a batch. `plan` is drawn from only as rollouts are admitted; at most `max_agents` live at once."""

    def __init__(
        self,
        plan: Iterator[Rollout],
        toolbox: Toolbox,
        recorder: Recorder,
        *,
        max_agents: int,
        unfinished: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._toolbox = toolbox
        self._recorder = recorder
        self._max_agents = max_agents
        self._unfinished = unfinished
        recorder.on_failure = self._fail
        self._lanes: Sequence[Lane] = ()
        self._agents: set[asyncio.Task[None]] = set()
        self._order = 0
        self._room = asyncio.Event()
        self._done = asyncio.Event()
        self._fed = False
        self._at_once = False  # it ends by `stop`
        self._cancelling = False  # whoever is left is being cancelled
        self._draining: str | None = None
        self._fatal: BaseException | None = None
        self._lag: dict[str, float] = {}  # per lane, and for the process: worst lateness since it was last taken
        self.steering = Steering()
        """What a person asks for; `steer` changes it."""
        self._drain_begun = asyncio.Event()

    def room(self) -> None:
        """An agent may perhaps start: lanes call this."""
        self._room.set()

    def gone(self) -> None:
        """An engine was given up: lanes call this. Its agents wait on; once nobody else can go on, the run drains and `run` raises the error."""
        self._room.set()  # whether somebody can start elsewhere is seen where agents start
        if self._fed:
            self._give_up()

    def _give_up(self) -> None:
        """Drain where an engine was given up and nobody lives on another, or may start there when it returns or admission is no longer held."""
        gone = [lane for lane in self._lanes if lane.presence.gone is not None]
        if not gone or self._draining is not None:
            return
        others = (lane for lane in self._lanes if lane not in gone)
        may_start = not self._fed and any(self.steering.held or lane.presence.lost is not None for lane in others)
        if may_start or len(self._agents) > sum(lane.gate.begun for lane in gone):
            return
        self._fatal = self._fatal or gone[0].presence.gone
        self.drain("engine")

    def drain(self, cause: str) -> None:
        """Nobody starts another step; when all stand at a boundary, `run` returns. Draining twice does nothing more."""
        if self._draining is not None:
            return
        self._draining = cause
        self._drain_begun.set()
        self._recorder.write(r.DrainStarted(t=self._recorder.now(), cause=cause))
        for lane in self._lanes:
            lane.drain()
        self._room.set()

    def steer(self, steering: Steering) -> None:
        """Hold admission or let it go on, and scale the limits, from now on. Once draining there is nothing left to steer."""
        if self._draining is not None or steering == self.steering:
            return
        self.steering = steering
        self._recorder.write(r.Steered(t=self._recorder.now(), held=steering.held, factor=steering.factor))
        for lane in self._lanes:
            lane.steer(steering)

    def stop(self) -> None:
        """Cancel everything now; what was recorded stays."""
        self._draining = self._draining or "stop"
        self._at_once = True
        self._done.set()

    async def run(self, lanes: Sequence[Lane], *, sample_rest: bool = False) -> bool:
        """Until all rollouts have ended (True), or a drain or stop has (False). Raises EngineGone, or what broke the journal.

        `sample_rest`: with a last sample of each engine, so that samples add up to all that was done.
        """
        self._lanes = lanes
        loop = asyncio.get_running_loop()
        watchers = [
            loop.create_task(self._guard(self._feed()), name="feeder"),
            loop.create_task(self._guard(self._watch_drain()), name="drain"),
            loop.create_task(self._watch_lag(), name="lag"),
            *(
                loop.create_task(
                    self._guard(lane.control(partial(self._to_come, lane), partial(self.take_lag, lane.name))),
                    name=f"control {lane.name}",
                )
                for lane in lanes
            ),
        ]
        try:
            await self._done.wait()
        finally:
            complete = self._fed and not self._agents
            self._cancelling = True
            for lane in lanes:
                lane.gate.stop()
            tasks = [*watchers, *self._agents]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if sample_rest:
                await self._sample_rest()
        if self._fatal is not None:
            raise self._fatal
        return complete

    async def _sample_rest(self) -> None:
        read = not self._at_once  # an engine that hangs would hold up whoever has asked twice
        rests = (
            lane.sample_rest(partial(self._to_come, lane), partial(self.take_lag, lane.name), read=read) for lane in self._lanes
        )
        await asyncio.gather(*rests)

    async def _feed(self) -> None:
        for rollout in self._plan:
            view = rollout.view(self._order)
            lane = await self._lane_with_room(view, rollout.setting.model or rollout.setting.begun_with)
            if lane is None:
                return
            self._order += 1
            lane.gate.start(view)
            task = asyncio.get_running_loop().create_task(
                live(rollout, lane, view, self._toolbox, self._recorder, lambda: self._cancelling), name=rollout.id
            )
            self._agents.add(task)
            task.add_done_callback(self._ended)
            await asyncio.sleep(0)  # a large window opens without holding up those who are under way
        self._fed = True
        self._check()

    def starting(self) -> bool:
        """Whether a new agent waits for nothing but room on an engine."""
        return not self._fed and self._draining is None and len(self._agents) < self._max_agents

    async def _lane_with_room(self, view: AgentView, model: str) -> Lane | None:
        """The engine with most free committed share of those that may serve this model, or of all where none may. None: draining."""
        while self._draining is None:
            if self.starting():
                fit = [lane for lane in self._lanes if not model or lane.engine.capabilities.may_serve(model)] or self._lanes
                open_lanes = [lane for lane in self._lanes if self._may_take(lane, view, fit)]
                if open_lanes:
                    return min(open_lanes, key=lambda lane: (lane.committed_share(), lane.gate.active))
            self._room.clear()
            self._give_up()
            await self._room.wait()
        return None

    def _to_come(self, lane: Lane) -> tuple[int, float]:
        """Agents that have not started in this process, those that have begun in an earlier one among them, and the lane's share of them."""
        sizes = self._sizes()
        share = sizes[lane.name] / sum(sizes.values()) if lane.name in sizes else 1.0
        return max(0, self._unfinished() - len(self._agents)), share

    def _sizes(self) -> dict[str, int]:
        """Of the engines that are there, by name, in tokens of their pools; all alike where one does not tell."""
        there = [lane for lane in self._lanes if lane.presence.lost is None]
        pools = {lane.name: lane.engine.capabilities.capacity_tokens or 0 for lane in there}
        return pools if all(pools.values()) else dict.fromkeys(pools, 1)

    def _may_take(self, lane: Lane, view: AgentView, lanes: Sequence[Lane]) -> bool:
        """Whether this new agent may start there, which is one of these, and not rather on another of them."""
        if lane not in lanes or self._better_elsewhere(lane, lanes):
            lane.gate.pass_over()
            return False
        return lane.has_room(view)

    def _better_elsewhere(self, lane: Lane, lanes: Sequence[Lane]) -> bool:
        """Whether this lane should leave new agents to others even if it has room, since they stay where they start.

        One whose paused agents wait for new ones, as they may near the end, while another has fewer agents for its pool. And one that
        holds nobody back while others do, with as many as come to it if all fill alike: it would take all that are left.
        """
        sizes = self._sizes()
        there = [other for other in lanes if other.name in sizes]
        if lane not in there or len(there) == 1:
            return False
        own, begun = sizes[lane.name], lane.gate.begun
        if lane.gate.paused:
            return any(other.gate.begun * own < begun * sizes[other.name] for other in there)
        if not lane.unlimited or all(other.unlimited for other in there):
            return False
        return begun * sum(sizes[other.name] for other in there) >= own * self._unfinished()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._agents.discard(task)
        if task.cancelled():
            if not self._cancelling:  # no record has told its end, and it is not under way
                self._fail(AgentError(f"rollout {task.get_name()}: its agent cancelled the task that it runs in"))
        elif task.exception() is not None:
            self._fail(task.exception())
        self._room.set()
        self._check()

    def _check(self) -> None:
        if self._fed and not self._agents:
            self._done.set()
        elif self._fed:
            self._give_up()

    def _fail(self, error: BaseException | None) -> None:
        self._fatal = self._fatal or error
        self._done.set()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """A watcher that raises ends the run: the journal is broken, or we have a bug."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed on by `run`
            self._fail(error)

    async def _watch_drain(self) -> None:
        """Once draining, all stand at a boundary when every live agent is paused or waits for its engine."""
        await self._drain_begun.wait()
        while sum(lane.standing for lane in self._lanes) < len(self._agents):  # noqa: ASYNC110 - seldom, and many places park agents
            await asyncio.sleep(0.1)
        self._done.set()

    async def _watch_lag(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _LAG_TICK_S
            await asyncio.sleep(_LAG_TICK_S)
            late = clock() - due
            for name in (_PROCESS, *(lane.name for lane in self._lanes)):
                self._lag[name] = max(late, self._lag.get(name, 0.0))

    def take_lag(self, name: str = _PROCESS) -> float:
        """Worst lateness of the event loop, in seconds, since this was last asked under the name."""
        return self._lag.pop(name, 0.0)
