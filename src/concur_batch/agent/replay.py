"""What a rollout did in earlier segments, folded from the journal, and its calls answered from it, so that it can go on where it was."""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from concur_batch import records as r
from concur_batch.agent.gaps import after_gaps, basis
from concur_batch.agent.past import Call, PastCall, packed
from concur_batch.agent.turns import Turns, others_go_on
from concur_batch.errors import AgentError
from concur_batch.records import Record

_NOISE_S = 1e-3  # by so much rounding may put the beginning of a call too early
_FAN_OUT_S = 0.01  # within which tool calls begin that an agent makes together
_AT_ONCE_S = 1.5e-3  # so close are the ends of calls that end in one round of the event loop, whose clock may count milliseconds

OfRollout: TypeAlias = (
    r.ReplyReceived | r.CallRetried | r.CallFailed | r.ToolStarted | r.ToolFinished | r.RolloutPaused | r.RolloutReturned
)


@dataclass(slots=True, kw_only=True)
class Past:
    """One unfinished rollout: its calls by number, and what is kept over segments."""

    started: r.RolloutStarted
    engine: str | None  # of the present segment; None: it has not been taken up in it
    calls: dict[int, Call | None] = field(
        default_factory=dict
    )  # in the order in which they came to their ends. None: to be made again, as what it goes on from is lost
    aside: dict[int, Call] = field(default_factory=dict)  # what these were
    wall_s: float = 0.0  # in earlier segments, pauses included
    paused_s: float = 0.0
    wait_s: float = 0.0  # and retry_s: of calls that came to no end
    retry_s: float = 0.0
    used_s: float = 0.0  # of its wall-time limit: neither pauses count, nor its engine's absence
    stood: list[tuple[float, float]] = field(default_factory=list)
    """t from and to, in this segment: paused, its engine away, or answered from the journal."""
    again: bool = False  # it has been taken up, and nothing tells yet of a call that it had not made before
    since: float = 0.0  # t of the present segment from which its wall time counts
    seen: float = 0.0  # t of its newest record
    paused: float | None = None  # t of its pause, while it lasts
    retrying: dict[int, float] = field(default_factory=dict)  # n -> seconds lost so far by a call that is being tried again
    tools: dict[int, float] = field(default_factory=dict)  # n -> t from which on it runs
    at_once: bool = False  # it had calls under way beside each other,
    branches: bool = False  # and others than tool calls that it made together: it does several things at once
    touched: float = -math.inf  # t at which a call of it was last begun or answered, as far as the present segment tells

    def take_up(self, x: r.RolloutStarted) -> None:
        """Another segment has."""
        self.engine, self.since, self.seen, self.again = x.engine, x.t, x.t, True

    def close_segment(self, end: float, lost: float | None) -> None:
        """The segment broke off at `end`: its time up to the last record counts, and what it waited then. `lost`: since when
        its engine is away.
        """
        if self.engine is not None:
            self._cut_off(end, lost)
        if self.again:
            self.stood.append((self.since, end))
        wall_s = max(0.0, self.seen - self.since)
        self.wall_s += wall_s
        self.used_s += max(0.0, wall_s - self._stood_s())
        self.since = self.seen = 0.0
        self.engine = self.paused = None
        self.stood.clear()
        self.retrying.clear()
        self.tools.clear()
        self.touched = -math.inf
        for n in after_gaps(self.calls):
            call = self.calls.get(n)
            if call is not None:
                self.aside[n] = call
            self.calls[n] = None

    def _cut_off(self, end: float, lost: float | None) -> None:
        if lost is not None:
            self.stood.append((max(lost, self.since), end))
        self.retry_s += sum(self.retrying.values())
        ended = max((n for n, call in self.calls.items() if call is not None), default=0)
        retrying = any(n > ended for n in self.retrying)  # else the agent has given that call up
        if self.paused is not None:
            self.paused_s += end - self.paused
            self.stood.append((self.paused, end))
        elif (lost is not None or retrying) and not self.tools:
            away = end if lost is None else max(lost, self.seen)
            self.retry_s += away - self.seen if retrying else 0.0
            self.wait_s += end - away
        else:
            return
        self.seen = end

    def apply(self, x: OfRollout) -> None:
        """Take in one of its records."""
        if self.again:
            self.again = False
            self.stood.append((self.since, _began(x)))
        match x:
            case r.ReplyReceived():
                self._replied(x)
            case r.CallRetried():
                self.retrying[x.n] = x.retry_s
            case r.CallFailed():
                self._asked(x)
                self._latest(x.n, x)
                self.retrying.pop(x.n, None)
            case r.ToolStarted():
                if self.tools:
                    self.at_once = True
                    self.branches = self.branches or x.t > min(self.tools.values()) + _FAN_OUT_S
                self.tools[x.n] = x.t
                self.touched = x.t
                self._latest(x.n, PastCall(x))
            case r.ToolFinished():
                call = self.calls.get(x.n)
                if not isinstance(call, PastCall):
                    return
                call.finished = x
                self.tools.pop(x.n, None)
                self.touched = x.t
                self._latest(x.n, call)
            case r.RolloutPaused():
                self.paused = x.t
                return
            case r.RolloutReturned():
                self.paused = None
                self.paused_s += x.paused_s
                self.stood.append((x.t - x.paused_s, x.t))
        self.seen = x.t

    def _replied(self, x: r.ReplyReceived) -> None:
        """What it refers to had not been made again by then: the line for which that was set aside was lost later."""
        for n in basis(x) & self.aside.keys():
            self.calls[n] = self.calls[n] or self.aside[n]
        self._asked(x)
        self._latest(x.n, packed(x))
        if x.retries:
            self.retrying.pop(x.n, None)

    def _asked(self, x: r.ReplyReceived | r.CallFailed) -> None:
        """The model was. Whether another call was under way meanwhile."""
        earlier = next(reversed(self.calls), 0) > x.n  # one that was made later has ended before it
        if earlier or self.tools or _began(x) < self.touched - _NOISE_S:
            self.at_once = self.branches = True
        self.touched = x.t

    def _latest(self, n: int, call: Call) -> None:
        self.calls.pop(n, None)  # where it is made again it comes last, too
        self.calls[n] = call

    def _stood_s(self) -> float:
        """Each second once, up to the last record."""
        whole, until = 0.0, self.since
        for begin, end in sorted(self.stood):
            seen = min(end, self.seen)
            whole += max(0.0, seen - max(begin, until))
            until = max(until, seen)
        return whole


def _runs(call: Call | None) -> bool:
    """Whether it is a tool call that has not come back."""
    return isinstance(call, PastCall) and call.finished is None


def _began(x: OfRollout) -> float:
    """t from which, at the latest, what this tells of was going on."""
    match x:
        case r.ReplyReceived():
            return x.t - x.model_s - x.wait_s - x.retry_s
        case r.CallFailed():
            return x.t - x.wait_s - x.retry_s
        case r.CallRetried():
            return x.t - x.retry_s
    return x.t


def _ended(call: Call) -> float:
    """t of its end."""
    if isinstance(call, PastCall):
        return call.finished.t if call.finished is not None else math.nan
    return call.t


def _took_s(call: Call) -> float | None:
    """From when it was made. None: it was interrupted."""
    match call:
        case r.ReplyReceived():
            return call.model_s + call.wait_s + call.retry_s
        case r.CallFailed():
            return call.wait_s + call.retry_s
    return None if call.finished is None else call.finished.wait_s + call.finished.seconds


def left_s(timeout_s: float | None, past: Past | None) -> float | None:
    """Of the wall-time limit, what earlier segments have not used up."""
    if timeout_s is None or past is None:
        return timeout_s
    return max(0.0, timeout_s - past.used_s)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rollout ended, and which attempt that was."""

    status: str
    error_class: str | None
    attempt: int


class PastCalls:
    """Numbers a rollout's calls in the order made, and answers those that an earlier segment has made already.

    An agent with one call at a time makes them again in the same order. One with several at once gets its answers in the order
    in which they came then (`turn`), so that it does the same with them; where it waits for more than its calls it may yet make
    them in another order, and they are found by what they ask for.
    """

    def __init__(self, past: Past | None) -> None:
        calls, self.wall_s = ({}, 0.0) if past is None else (past.calls, past.wall_s)
        self._left = {n: call for n, call in calls.items() if call is not None}
        self._next = 1
        self._last = max(calls, default=0)
        self._made = self._models = 0  # calls made in this process, and model calls of them
        self._newest = next((n for n in reversed(list(calls)) if _asks(calls[n])), 0)  # model call in the journal
        # A number that is missing was in flight beside others when the segment broke off, or has been taken out of the journal.
        is_missing = len(self._left) < self._last
        self._several = is_missing or (past is not None and past.branches)
        at_once = is_missing or (past is not None and past.at_once)
        # What did not come to its end comes after all that did.
        order = sorted(self._left, key=lambda n: _runs(self._left[n])) if at_once else []
        together = {n for m, n in pairwise(order) if abs(_ended(self._left[n]) - _ended(self._left[m])) < _AT_ONCE_S}
        self._turns = Turns(order, together)
        self._gives_up = any(isinstance(call, PastCall) and call.given_up for call in self._left.values())

    async def take(self, key: str, asked: str, *kinds: type[Call]) -> tuple[int, Call | None]:
        """The number of the call that asks for `key`, and its past. Raises AgentError where the agent did not repeat itself."""
        is_model = r.ReplyReceived in kinds
        self._made += 1
        self._models += is_model
        if self._left and not self._several and self._find(self._next, key, kinds) is None and self._next in self._left:
            made, models = self._made, self._models
            await others_go_on()  # to a call that was made before this one then
            self._several = self._made > made if is_model else self._models > models
        n = self._next
        self._next += 1
        if not self._left:
            self._last = n = max(n, self._last + 1)
            return n, None
        found = self._find(n, key, kinds)
        if found is None and n in self._left and not self._several:
            raise AgentError(_diverged(n, asked, self._left[n]))
        self._several = self._several or found != n
        if found is None:
            self._last += 1
            return self._last, None
        return found, self._left.pop(found)

    def _find(self, n: int, key: str, kinds: tuple[type[Call], ...]) -> int | None:
        """Call `n` where it is the one asked for, else the first that is."""
        past = self._left.get(n)
        if past is not None and _is(past, key, kinds):
            return n
        return next((m for m, other in sorted(self._left.items()) if _is(other, key, kinds)), None)

    def turn(self, n: int, past: Call) -> AbstractAsyncContextManager[None]:
        """Entered when it is the turn of call `n` to be answered; the next one's comes when it is left.

        The agent may have a time-out around it, which it did not reach then: so it waits no longer than it took.
        """
        return self._turns.of(n, _took_s(past) if self._gives_up else None)

    def ends_with(self, n: int) -> bool:
        """Whether nothing shows that the rollout went on after the reply to call `n`: of model calls it is the newest that was
        recorded, and the agent has asked for all others again. Tools it may call also when a limit has ended it, to clean up.
        """
        return n == self._newest and not any(map(_asks, self._left.values()))

    def left(self) -> list[Call]:
        """Those that have not been asked for again, in the order made."""
        return [self._left[n] for n in sorted(self._left)]


def _asks(call: Call | None) -> bool:
    """Whether it is a model call, or may have been one."""
    return not isinstance(call, PastCall)


def _is(past: Call, key: str, kinds: tuple[type[Call], ...]) -> bool:
    return isinstance(past, kinds) and (past.started.hash if isinstance(past, PastCall) else past.hash) == key


def _diverged(n: int, asked: str, past: Call) -> str:
    then = f"a call of {past.started.tool}" if isinstance(past, PastCall) else f"a model call (step {past.step})"
    return (
        f"the agent did not repeat itself on resume: call {n} was {then} and is now {asked} with other content; "
        "take time and randomness from the context only, or start this rollout over with --retry-failed=agent"
    )


class History:
    """All rollouts of earlier segments: the ended ones by their status, the others with their calls."""

    def __init__(self) -> None:
        self.ended: dict[str, Ended] = {}
        self.unfinished: dict[str, Past] = {}
        self.models: dict[str, str] = {}
        """Engine -> what it was asked for by tasks that name no model, once it has answered; the newest last."""
        self._asked: dict[str, str] = {}
        self._lost: dict[str, float] = {}  # engine that is away -> since t
        self._time = 0.0  # t of the newest record

    def apply(self, x: Record) -> None:
        """Take one record in; records must come in the journal's order."""
        if isinstance(x, r.ReplyReceived) and x.engine in self._asked:
            self.models.pop(x.engine, None)
            self.models[x.engine] = self._asked.pop(x.engine)
        if isinstance(x, OfRollout):
            past = self.unfinished.get(x.rollout)
            if past is not None:
                past.apply(x)
        match x:
            case r.RolloutStarted() if x.resumed:
                past = self.unfinished.get(x.rollout)
                if past is not None:
                    past.take_up(x)
            case r.RolloutStarted():
                self.ended.pop(x.rollout, None)
                self.unfinished[x.rollout] = Past(started=x, engine=x.engine, since=x.t, seen=x.t)
            case r.EngineSeen():
                self._asked[x.engine] = x.model
            case r.EngineLost():
                self._lost.setdefault(x.engine, x.t)
            case r.EngineReturned():
                self._returned(x)
            case r.RolloutFinished():
                self.unfinished.pop(x.rollout, None)
                error_class = x.error.error_class if x.error is not None else None
                self.ended[x.rollout] = Ended(x.status, error_class, x.attempt)
            case r.SegmentStarted():
                self.close()
                self._lost.clear()
            case _:
                pass
        self._time = x.t

    def _returned(self, x: r.EngineReturned) -> None:
        lost = self._lost.pop(x.engine, x.t)
        for past in self.unfinished.values():
            if past.engine == x.engine:
                past.stood.append((max(lost, past.since), x.t))

    def close(self) -> None:
        """A segment has been read to its end: the last one, or another follows."""
        for past in self.unfinished.values():
            past.close_segment(self._time, self._lost.get(past.engine or ""))
