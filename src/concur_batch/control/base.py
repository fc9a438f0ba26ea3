"""The words of control: what a controller sees (`Sample`), what it answers (`Limit`), who is let in (`Admission`). Pure."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
    active: int = 0  # agents holding a slot
    waiting: int = 0  # new or paused
    committed_tokens: int = 0  # contexts of the active agents, as the runner knows them


class Limit(NamedTuple):
    """What may run from now on."""

    agents: int = UNLIMITED  # at most so many active
    tokens: int = UNLIMITED  # at most so many tokens in the contexts of the active agents
    requests: int = UNLIMITED  # at most so many model calls in flight
    reason: str = "hold"  # grow | cut | hold | cooldown | no-evidence | off | fixed | ...


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
    """What admission may know of one agent. The gate keeps it current."""

    rollout: str
    order: int  # of first admission, from 0
    context_tokens: int = 0  # as of the last reply
    growth_tokens: int = 0  # context added by the last step
    steps: int = 0
    last_boundary: float = 0.0  # seconds, event-loop clock
    tool_started: float | None = None  # seconds; None: not in a tool call
    paused_since: float | None = None


class Admission(Protocol):
    """Who: starts, continues at a boundary, returns. Pure; every call sees the same facts and changes nothing.

    `active` holds the agents with a slot, `committed_tokens` is the sum of their contexts.
    """

    def may_start(self, context_tokens: int, limit: Limit, active: Collection[AgentView], committed_tokens: int) -> bool:
        """Whether one more agent (new: 0 tokens, or returning) may become active."""
        ...

    def may_continue(self, agent: AgentView, limit: Limit, active: Collection[AgentView], committed_tokens: int) -> bool:
        """Whether this active agent, at its boundary, keeps its slot."""
        ...

    def next_returning(self, paused: Collection[AgentView]) -> AgentView | None:
        """The paused agent that returns first. None: nobody waits."""
        ...
