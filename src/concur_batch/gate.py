"""The gate holds agents to the limit: they start, continue at a boundary, pause and return here and nowhere else.

It does what an `Admission` decides and keeps the facts that it decides on. A shrinking limit interrupts nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from concur_batch.control.base import Admission, AgentView, Limit
from concur_batch.recorder import Recorder
from concur_batch.records import RolloutPaused, RolloutReturned


class Gate:
    """The slots of one engine. `on_room` is called whenever an agent may perhaps start that could not before."""

    def __init__(self, engine: str, admission: Admission, limit: Limit, recorder: Recorder, on_room: Callable[[], None]) -> None:
        self._engine = engine
        self._admission = admission
        self._recorder = recorder
        self._on_room = on_room
        self._active: dict[str, AgentView] = {}
        self._paused: dict[str, tuple[AgentView, asyncio.Future[None]]] = {}
        self._committed = 0
        self._draining = False
        self._requests = 0
        self._request_queue: deque[asyncio.Future[None]] = deque()
        self.limit = limit

    @property
    def active(self) -> int:
        """Agents holding a slot."""
        return len(self._active)

    @property
    def paused(self) -> int:
        """Agents waiting to return."""
        return len(self._paused)

    @property
    def paused_rollouts(self) -> AbstractSet[str]:
        """Who they are."""
        return self._paused.keys()

    @property
    def committed_tokens(self) -> int:
        """Sum of the contexts of the active agents, as of their last replies."""
        return self._committed

    # Slots -----------------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether a new agent may start now: paused ones come first."""
        if self._draining or self._paused:
            return False
        return self._admission.may_start(0, self.limit, self._active.values(), self._committed)

    def start(self, view: AgentView) -> None:
        """Give a slot; only after `has_room`, without waiting in between."""
        view.last_boundary = self._recorder.now()
        self._take(view)

    async def boundary(self, view: AgentView) -> float:
        """Before each model call: returns at once, or after a pause. Returns the seconds paused."""
        if self._may_continue(view):
            view.last_boundary = self._recorder.now()
            return 0.0
        while view.rollout in self._paused:  # another call of the same agent waits already: it pauses once
            await asyncio.wait({self._paused[view.rollout][1]})
            if self._may_continue(view):
                return 0.0
        started = view.paused_since = self._recorder.now()
        if view.rollout in self._active:
            self._drop(view)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._paused[view.rollout] = view, future
        reason = "drain" if self._draining else "limit"
        self._recorder.write(RolloutPaused(t=started, rollout=view.rollout, engine=self._engine, step=view.steps, reason=reason))
        self._settle()
        try:
            await future
        except asyncio.CancelledError:
            if self._paused.get(view.rollout) == (view, future):  # else it has returned in the same moment, and `leave` follows
                del self._paused[view.rollout]
            raise
        now = self._recorder.now()
        view.last_boundary, view.paused_since = now, None
        paused_s = round(now - started, 6)
        self._recorder.write(
            RolloutReturned(t=now, rollout=view.rollout, engine=self._engine, step=view.steps, paused_s=paused_s)
        )
        return paused_s

    def leave(self, view: AgentView) -> None:
        """The agent has ended. Leaving twice does nothing."""
        if view.rollout in self._active:
            self._drop(view)
            self._settle()

    def grew(self, view: AgentView, context_tokens: int) -> None:
        """A reply has told the agent's context."""
        if view.rollout in self._active:
            self._committed += context_tokens - view.context_tokens
        view.growth_tokens = context_tokens - view.context_tokens
        view.context_tokens = context_tokens
        view.steps += 1

    def seniority(self, view: AgentView) -> float:
        """The share of the active agents that were first admitted after this one, 0..1."""
        younger = sum(other.order > view.order for other in self._active.values())
        return younger / max(1, len(self._active) - 1)

    def resize(self, limit: Limit) -> None:
        """The limit from now on."""
        self.limit = limit
        self._settle()
        self._release_requests()

    def drain(self) -> None:
        """From now on nobody continues past a boundary, nobody starts, nobody returns."""
        self._draining = True

    # Requests in flight ----------------------------------------------------------------------------------------------

    async def acquire_request(self) -> None:
        """Wait until one more model call may be in flight, in order of asking."""
        if self._requests < self.limit.requests and not self._request_queue:
            self._requests += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request_queue.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release_request()
            raise

    def release_request(self) -> None:
        """One model call has come back."""
        self._requests -= 1
        if self._request_queue:
            self._release_requests()

    def _release_requests(self) -> None:
        while self._request_queue and self._requests < self.limit.requests:
            future = self._request_queue.popleft()
            if not future.done():
                self._requests += 1
                future.set_result(None)

    # Inside ----------------------------------------------------------------------------------------------------------

    def _may_continue(self, view: AgentView) -> bool:
        if self._draining or view.rollout not in self._active:
            return False
        return self._admission.may_continue(view, self.limit, self._active.values(), self._committed)

    def _take(self, view: AgentView) -> None:
        self._active[view.rollout] = view
        self._committed += view.context_tokens

    def _drop(self, view: AgentView) -> None:
        del self._active[view.rollout]
        self._committed -= view.context_tokens

    def _settle(self) -> None:
        """Give free slots to paused agents first, then say that there may be room."""
        if self._draining:
            return
        while self._paused:
            view = self._admission.next_returning([view for view, _ in self._paused.values()])
            if view is None or not self._admission.may_start(
                view.context_tokens, self.limit, self._active.values(), self._committed
            ):
                return
            _, future = self._paused.pop(view.rollout)
            if not future.done():
                self._take(view)
                future.set_result(None)
        self._on_room()
