"""The words of control: what a controller sees (`Sample`), what it answers (`Limit`), who is let in (`Admission`). Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from concur_batch.control.conversations import Conversations

UNLIMITED = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """One reading. Shares are of the capacity, 0..1; with DP ranks those of the fullest rank. `*_total` only ever grow,
    but restart at 0 with the server. None: the engine does not tell.
    """

    capacity_tokens: int | None = None
    locked: float | None = None  # KV held by running requests (SGLang's token_usage)
    resident: float | None = None  # locked + evictable
    running_requests: int | None = None
    queued_requests: int | None = None
    evicted_tokens_total: int | None = None
    prefill_tokens_total: int | None = None  # computed, not taken from the cache
    prefill_busy_seconds_total: float | None = None
    epoch: float | None = None  # when the reading was taken by the engine, its own clock; equal epochs = a stale reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One engine over one interval. Sums, so that any window can be averaged. None = the engine does not tell."""

    engine: str
    time: float  # seconds, event-loop clock; in simulation engine seconds
    capacity_tokens: int | None = None  # KV pool; with DP ranks the sum
    locked: float | None = None  # share of capacity, 0..1, of the fullest rank
    resident: float | None = None  # locked + evictable
    running_requests: int | None = None
    queued_requests: int | None = None
    evicted_tokens: int | None = None  # over the interval
    prefill_tokens: int | None = None  # computed by the engine over the interval
    prefill_busy_seconds: float | None = None
    prompt_tokens: int = 0  # over the interval, from replies
    cached_tokens: int | None = 0  # None: no evidence about the cache in this interval
    generated_tokens: int = 0
    history_tokens: int = 0  # history sent again; calls right after a pause or yield left out
    missed_tokens: int | None = 0  # of it, prefilled again
    begun: int = 0  # prefills that the runner has asked for since the last reading: calls begun at one moment count once
    active: int = 0  # agents holding a slot
    waiting: int = 0  # paused here, or new, wherever they will start
    share: float = 1.0  # of the new ones, what falls to this engine by the size of its pool, 0..1
    committed_tokens: int = 0  # contexts of the active agents, as the runner knows them
    frees_ended: bool = False  # the engine evicts the KV of agents that have ended before any other
    host_tokens: int = 0  # KV that fits into a host tier besides the pool
    held: bool = False  # a person lets nobody in at present
    factor: float = 1.0  # by which a person has scaled the limits that were decided

    @property
    def is_read(self) -> bool:
        """A fresh reading of the engine has come."""
        return (self.capacity_tokens, self.locked, self.running_requests) != (None, None, None)

    @property
    def held_back(self) -> bool:
        """A person has less run than was decided, so that little use says nothing about what could run."""
        return self.held or self.factor < 1.0


class Limit(NamedTuple):
    """What may run from now on."""

    agents: int = UNLIMITED  # at most so many active
    tokens: int = UNLIMITED  # at most so many tokens in the contexts of the active agents
    requests: int = UNLIMITED  # at most so many model calls in flight
    reason: str = "hold"  # grow | cut | hold | cooldown | no-evidence | off | fixed | ...
    keep_s: float = math.inf  # KV is not kept for longer for an agent that does something else, in seconds of the engine's clock
    together: int = 1  # model calls that begin while others are in flight wait until they are so many
    hold_s: float = 0.0  # but for no longer than this, in seconds of the engine's clock


class Controller(Protocol):
    """How much may run. Same samples, same limits: time comes in the sample."""

    @property
    def first(self) -> Limit:
        """The limit before the first sample."""
        ...

    def update(self, sample: Sample) -> Limit:
        """The limit from now on."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class AgentView:
    """What admission may know of one agent. The gate keeps it current. Times: seconds of the engine's clock, as in samples."""

    rollout: str
    order: int  # of first admission, from 0
    group: str = ""  # its kind of task: job file, agent, tags
    prompt_tokens: int = 0  # of its first call: a guess from its task's text; resumed, its context; 0: not known
    most_steps: int | None = None  # after which it ends, whatever it has
    context_tokens: int = 0  # as of the last reply
    growth_tokens: int = 0  # by the last step, of what all its conversations need
    step_tokens: int | None = 0  # by the last step, of the conversation that it was in; None: that began with it
    conversations: Conversations = field(default_factory=Conversations)  # most agents have one
    other_tokens: float = 0.0  # what all of them need, less the context of the last reply
    shared_tokens: int = 0  # of the first prompt, what the cache held already: KV that it has in common with others
    steps: int = 0
    last_boundary: float = 0.0
    calls: int = 0  # model calls under way
    tools: int = 0  # tool calls under way
    tool_started: float | None = None  # since when it has done nothing but call tools; None: it has not since its last model call
    tool_back: float = 0.0  # when the last one came back
    touched: float | None = None  # when its KV was last touched in these tool calls
    paused_since: float | None = None  # later by the time for which a person has held admission since
    paused_s: float = 0.0  # in this process, in seconds of the loop
    returns: int = 0  # how often it got a slot back: others may have taken its place in the cache meanwhile


@dataclass(slots=True, kw_only=True, eq=False)
class Roster:
    """Who has begun and not ended on one engine, by rollout. Kept by the gate; admission reads it and changes nothing."""

    limit: Limit
    now: float = 0.0  # seconds of the engine's clock
    active: dict[str, AgentView] = field(default_factory=dict)  # with a slot
    paused: dict[str, AgentView] = field(default_factory=dict)  # at a boundary, waiting to return
    away: dict[str, AgentView] = field(default_factory=dict)  # without one and not waiting: in a tool call, mostly
    committed_tokens: int = 0  # contexts of the active agents, as of their last replies
    new: AgentView | None = None  # not in it yet: who would start next, and waits for room alone


class Admission(Protocol):
    """Who: starts, continues at a boundary, yields in a tool call, returns. Pure: it learns from nothing but these calls."""

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        """Whether this agent (new, or returning) may become active."""
        ...

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        """Whether this active agent, at its boundary, keeps its slot."""
        ...

    def next_returning(self, roster: Roster) -> AgentView | None:
        """The paused agent that returns before anybody else goes. None: nobody is paused, or a new one goes first."""
        ...

    def yielding(self, roster: Roster) -> Iterable[AgentView]:
        """Of the active agents in tool calls, those that give up their slots now. Asked after every sample."""
        return ()

    def touching(self, roster: Roster) -> Iterable[AgentView]:
        """Of the active agents in tool calls, those whose KV is touched now, so that it is not the oldest. Asked after every sample."""
        return ()

    def replied(self, agent: AgentView, *, replayed: bool = False) -> None:
        """A model call has been answered; the view tells what the agent is now. `replayed`: in an earlier process, so that it says
        what agents are like, and nothing of the engine.
        """
        return None

    def tool_ended(self, agent: AgentView, seconds: float) -> None:
        """The agent goes on from its tools, which have taken it `seconds` with no model call under way; the view still tells since when.
        Not called where it ends with them.
        """
        return None

    def ended(self, agent: AgentView, roster: Roster) -> None:
        """The agent has done its task or failed at it, and is in the roster no more."""
        return None
