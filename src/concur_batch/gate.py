"""The gate holds agents to the limit: they start, continue at a boundary, pause and return here and nowhere else.

It does what an `Admission` decides and keeps the facts that it decides on. A shrinking limit interrupts nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from concur_batch.control.base import Admission, AgentView, Limit, Roster
from concur_batch.control.conversations import Returns
from concur_batch.recorder import Recorder
from concur_batch.records import RolloutPaused, RolloutReturned, RolloutYielded

# The oldest active agent has this priority, the youngest 0, the others by their rank in between. SGLang preempts a running
# request (and throws its KV away) for one whose priority is larger by more than 10: so none of ours ever is, however many
# agents are active, and yet the queue goes by age. Ranks rather than admission numbers also keep two runs on one server equal.
_PRIORITIES = 10


@dataclass(slots=True, eq=False)
class _Pause:
    """Of one agent: all its calls that come to a boundary meanwhile wait in it."""

    began: float  # seconds of the loop
    back: asyncio.Event = field(default_factory=asyncio.Event)  # it has a slot again
    calls: int = 0  # that wait
    told: bool = False  # that it is over


class Gate:
    """The slots of one engine. `clock`: the engine's seconds. `on_room`: called when an agent may perhaps start that could not before.
    `starting`: whether there is a new agent that waits for nothing but room, here or on another engine.
    """

    def __init__(
        self,
        engine: str,
        admission: Admission,
        limit: Limit,
        recorder: Recorder,
        on_room: Callable[[], None],
        clock: Callable[[], float] | None = None,
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._recorder = recorder
        self._on_room = on_room
        self._clock = clock or recorder.now
        self._starting = starting
        self._asked: AgentView | None = None  # the last new one for whom there was to be room
        self._roster = Roster(limit=limit)
        self._returns = Returns()
        self._unheard = 0  # of the active agents, those that have made no step yet
        self._pauses: dict[str, _Pause] = {}  # of the paused agents, until they return
        self._gave_up: set[str] = set()  # rollouts that are away since they waited no longer, and not for a tool call
        self._draining = self._stopped = False
        self._held: float | None = None  # since when a person lets nobody in

    @property
    def limit(self) -> Limit:
        """What holds now."""
        return self._roster.limit

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    @property
    def active(self) -> int:
        """Agents holding a slot."""
        return len(self._roster.active)

    @property
    def paused(self) -> int:
        """Agents waiting to return."""
        return len(self._roster.paused)

    @property
    def begun(self) -> int:
        """Agents that have started here and not left: active, paused, or away."""
        return self.active + self.paused + len(self._roster.away)

    @property
    def paused_rollouts(self) -> AbstractSet[str]:
        """Who they are."""
        return self._roster.paused.keys()

    @property
    def committed_tokens(self) -> int:
        """Sum of the contexts of the active agents, as of their last replies."""
        return self._roster.committed_tokens

    @property
    def load_tokens(self) -> float:
        """The same, where an agent that has not been heard of counts as much as the others do in the mean; as one token, where nobody has been."""
        heard = self.active - self._unheard
        return self.committed_tokens + self._unheard * (self.committed_tokens / heard if heard else 1.0)

    def stands(self, rollout: str, waiting: int) -> bool:
        """Whether this agent stands still, `waiting` of its calls past the boundary being known to."""
        roster = self._roster
        view = roster.active.get(rollout) or roster.paused.get(rollout) or roster.away.get(rollout)
        return view is None or (not view.tools and view.calls <= waiting)

    # Slots -----------------------------------------------------------------------------------------------------------

    def has_room(self, view: AgentView) -> bool:
        """Whether this new agent may start now, which waits for nothing else."""
        self._asked = view
        if self._draining or self._held is not None:
            return False
        roster = self._seen()
        return self._admission.next_returning(roster) is None and self._admission.may_start(view, roster)

    def pass_over(self) -> None:
        """The new agent will start elsewhere: nobody who is paused here waits for it."""
        if self._asked is not None:
            self._asked = None
            self._settle()

    def start(self, view: AgentView) -> None:
        """Give a slot; only after `has_room`, without waiting in between."""
        view.last_boundary = self._clock()
        self._asked = None
        self._take(view)

    async def boundary(self, view: AgentView) -> None:
        """Before each model call: returns at once, or after a pause."""
        if view.tool_started is not None:
            self._admission.tool_ended(view, (self._clock() if view.tools else view.tool_back) - view.tool_started)
            view.tool_started = None
        if self._may_continue(view):
            view.last_boundary = self._clock()
            return
        pause = self._pauses.get(view.rollout) or self._pause(view)
        pause.calls += 1
        try:
            await pause.back.wait()
        finally:
            pause.calls -= 1
            if not pause.told and (pause.back.is_set() or not pause.calls):
                self._over(view, pause)

    def _pause(self, view: AgentView) -> _Pause:
        """It is without a slot until its turn comes, which may be at once."""
        pause = _Pause(self._recorder.now())
        view.paused_since = self._clock()
        if view.rollout in self._roster.active:
            self._drop(view)
        away = self._roster.away.pop(view.rollout, None) is not None
        self._roster.paused[view.rollout], self._pauses[view.rollout] = view, pause
        if away:
            self._settle()
        if not pause.back.is_set():
            yielded = away and view.rollout not in self._gave_up
            reason = "drain" if self._draining else "yield" if yielded else "limit"
            self._recorder.write(
                RolloutPaused(t=pause.began, rollout=view.rollout, engine=self._engine, step=view.steps, reason=reason)
            )
            self._settle()
        self._gave_up.discard(view.rollout)
        return pause

    def _over(self, view: AgentView, pause: _Pause) -> None:
        """Its pause is over, as the first of the calls in it knows; or none waits in it any more: it is away until it makes another."""
        pause.told = True
        returned = pause.back.is_set()
        if not returned:
            del self._roster.paused[view.rollout], self._pauses[view.rollout]
            self._roster.away[view.rollout] = view
            self._gave_up.add(view.rollout)
        view.last_boundary, view.paused_since = self._clock(), None
        if self._stopped:
            return
        now = self._recorder.now()
        paused_s = round(now - pause.began, 6)
        view.paused_s += paused_s
        self._recorder.write(
            RolloutReturned(t=now, rollout=view.rollout, engine=self._engine, step=view.steps, paused_s=paused_s, slot=returned)
        )
        if not returned:
            self._settle()

    def leave(self, view: AgentView, *, ended: bool = True) -> None:
        """The agent goes; `ended` False: only from this segment. Once."""
        if view.rollout in self._roster.active:
            self._drop(view)
        self._roster.away.pop(view.rollout, None)
        self._gave_up.discard(view.rollout)
        if ended:
            self._admission.ended(view, self._seen())
        self._settle()

    def began(self, view: AgentView, conversation: int = 1) -> bool:
        """A model call has begun in this conversation of the agent's. Whether its KV should be there, if it is not new."""
        kept = self._returns.began(view.conversations, conversation, self._clock(), self.limit.keep_s)
        view.tool_started = None  # a tool may have begun while it was paused
        view.calls += 1
        self._weigh(view)
        return kept

    def ended(self, view: AgentView, conversation: int = 1) -> None:
        """It is over, whether it has been answered or not."""
        view.calls -= 1
        self._looks_away(view)
        self._returns.ended(view.conversations, conversation, self._clock())
        self._weigh(view)

    def replied(
        self,
        view: AgentView,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int | None,
        conversation: int = 1,
        replayed: bool = False,
    ) -> None:
        """A reply has told the agent's context; `replayed`: one to an earlier process."""
        context_tokens = prompt_tokens + completion_tokens
        if view.rollout in self._roster.active:
            self._roster.committed_tokens += context_tokens - view.context_tokens
            self._unheard -= not view.steps
        if view.steps == 0:
            view.shared_tokens = min(cached_tokens or 0, prompt_tokens)
        view.context_tokens = context_tokens
        mine = view.conversations
        view.step_tokens = self._returns.told(mine, conversation, self._clock(), max(0, context_tokens - view.shared_tokens))
        before, mine.told = mine.told, self._weigh(view)
        view.growth_tokens = round(mine.told - before)
        view.steps += 1
        self._admission.replied(view, replayed=replayed)

    def priority(self, view: AgentView) -> int:
        """That its requests are sent with: by the share of the active agents that were first admitted after this one."""
        younger = sum(other.order > view.order for other in self._roster.active.values())
        return round(_PRIORITIES * younger / max(1, self.active - 1))

    def resize(self, limit: Limit) -> None:
        """The limit from now on; and whoever has been in a tool call for too long gives up its slot."""
        self._roster.limit = limit
        for view in list(self._admission.yielding(self._seen())):
            self._yield(view)
        self._settle()

    def steer(self, limit: Limit, *, held: bool) -> None:
        """A person takes a hand: this limit from now on; and held, nobody starts and nobody returns, while the active go on."""
        self._roster.limit = limit
        if held and self._held is None:
            self._held = self._clock()
        elif not held and self._held is not None:
            self._let_go(self._held)
        self._settle()

    def _let_go(self, since: float) -> None:
        """The time for which admission was held is nobody's waiting for room."""
        now, self._held = self._clock(), None
        for view in self._roster.paused.values():
            if view.paused_since is not None:
                view.paused_since += now - max(since, view.paused_since)

    # Tools -----------------------------------------------------------------------------------------------------------

    def tool_began(self, view: AgentView) -> None:
        """The agent has called a tool."""
        view.tools += 1
        self._looks_away(view)

    def tool_ended(self, view: AgentView) -> None:
        """One of its tools has come back. It may call others before it goes on."""
        view.tools -= 1
        view.tool_back = self._clock()

    def _looks_away(self, view: AgentView) -> None:
        """From here on its KV is unused, if it is in a tool call and no model call is under way."""
        if view.tools and not view.calls and view.tool_started is None:
            view.tool_started, view.touched = self._clock(), None

    def _yield(self, view: AgentView) -> None:
        if self._draining or self._held is not None or view.calls or not view.tools or view.rollout not in self._roster.active:
            return
        self._drop(view)
        self._roster.away[view.rollout] = view
        self._recorder.write(RolloutYielded(t=self._recorder.now(), rollout=view.rollout, engine=self._engine, step=view.steps))

    def touched(self) -> list[str]:
        """The rollouts whose KV is to be touched now; from here on it counts as touched."""
        if self._draining:
            return []
        views = list(self._admission.touching(self._seen()))
        for view in views:
            view.touched = self._roster.now
        return [view.rollout for view in views]

    def drain(self) -> None:
        """From now on nobody continues past a boundary, nobody starts and nobody returns."""
        self._draining = True

    def stop(self) -> None:
        """Everybody is cancelled now. Whoever is paused gives up nothing by that: its pause lasts until it is resumed."""
        self._stopped = True

    async def pass_unless_draining(self) -> None:
        """Returns at once, or never."""
        if self._draining:
            await asyncio.get_running_loop().create_future()

    # Inside ----------------------------------------------------------------------------------------------------------

    def _weigh(self, view: AgentView) -> float:
        """What all its conversations need, in tokens."""
        if view.conversations.newest > 1:
            view.other_tokens = self._returns.tokens(view.conversations) + view.shared_tokens - view.context_tokens
        return view.context_tokens + view.other_tokens

    def _may_continue(self, view: AgentView) -> bool:
        if self._draining or view.rollout not in self._roster.active:
            return False
        return self._admission.may_continue(view, self._seen())

    def _seen(self) -> Roster:
        self._roster.now = self._clock()
        self._roster.new = self._asked if self._starting() else None
        return self._roster

    def _take(self, view: AgentView) -> None:
        self._roster.active[view.rollout] = view
        self._roster.committed_tokens += view.context_tokens
        self._unheard += not view.steps

    def _drop(self, view: AgentView) -> None:
        del self._roster.active[view.rollout]
        self._roster.committed_tokens -= view.context_tokens
        self._unheard -= not view.steps

    def _settle(self) -> None:
        """Give free slots to paused agents, then say that there may be room for new ones."""
        if self._draining or self._held is not None:
            return
        roster = self._seen()
        while (view := self._admission.next_returning(roster)) is not None:
            if not self._admission.may_start(view, roster):
                return
            del roster.paused[view.rollout]
            self._take(view)
            view.returns += 1
            self._pauses.pop(view.rollout).back.set()
        self._on_room()
