"""ThunderAgent's rule (arXiv:2602.13692): the contexts of all active agents together have to fit into the pool.

Every few seconds they are added up, those in tool calls by a weight. While the sum is above the pool, the smallest agents in
tool calls are paused, and if that is not enough, the smallest of the others after the model call that they are in. There is room
again: paused agents return before new ones start, the smallest first (to which the source's best-fit packing comes with one
engine), and after half an hour in any case. What the cache hits plays no part.

Ours differs in four things. An agent returns when there is room, not with the next check. A paused one counts what its last
reply told, without the tool output since. The smallest are told off only until the sum fits, where the source, once it comes to
agents in model calls, marks every one of them. And one agent is always let run, however large. The source's decay of idle
tokens, off by default there, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from concur_batch.control.base import Admission, AgentView, Limit, Roster, Sample


class AccountingParameters(BaseModel):
    """All constants. [source]: ThunderAgent's code; [open]: our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_s: float = Field(5.0, gt=0, description="seconds of engine time between two checks of the sum [source]")
    acting_weight: float = Field(1.0, ge=0, le=1, description="weight of the tokens of agents in tool calls [source]")
    buffer_tokens: int = Field(100, ge=0, description="added for each active agent, for what it generates [source]")
    force_s: float = Field(1800.0, gt=0, description="a paused agent returns after so many seconds, room or not [source]")
    first_tokens: int = Field(
        4096,
        ge=0,
        description="context of an agent before its first reply, until replies tell of others; the source guesses by length [open]",
    )
    first: int = Field(8, ge=1, description="agents before the first sample tells of the pool [open; the source asks the engine]")
    fallback: int = Field(64, ge=1, description="fixed window where the engine does not tell its pool [open]")


class Pool:
    """The pool as a limit on tokens: once told, it is known."""

    def __init__(self, parameters: AccountingParameters, max_agents: int) -> None:
        self._p = parameters
        self._max_agents = max_agents
        self._tokens: int | None = None

    @property
    def first(self) -> Limit:
        """A few agents."""
        return Limit(agents=min(self._p.first, self._max_agents), reason="first")

    def update(self, sample: Sample) -> Limit:
        """The pool, or a fixed window where it is not known."""
        self._tokens = sample.capacity_tokens or self._tokens
        if self._tokens is None:
            return Limit(agents=min(self._p.fallback, self._max_agents), reason=f"pool not known: fixed:{self._p.fallback}")
        return Limit(agents=self._max_agents, tokens=self._tokens, reason="pool")


class Accounting(Admission):
    """Who fits into the limit on tokens."""

    def __init__(self, parameters: AccountingParameters) -> None:
        self._p = parameters
        self._checked: float | None = None  # when the sum was last held against the pool
        self._leaving: set[str] = set()  # rollouts in model calls that pause afterwards
        self._first_contexts = self._first_replies = 0

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        """It fits beside the active ones; or it has been paused for too long, or nobody is active."""
        if len(roster.active) >= roster.limit.agents:
            return False
        if not roster.active or self._is_overdue(agent, roster):
            return True
        return self._sum(roster) + self._tokens(agent) + self._p.buffer_tokens <= roster.limit.tokens

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        """Unless it has been told off. The last one always does."""
        if len(roster.active) > roster.limit.agents:
            return False
        if agent.rollout not in self._leaving or len(roster.active) == 1:
            return True
        self._leaving.discard(agent.rollout)
        return False

    def next_returning(self, roster: Roster) -> AgentView | None:
        """Of the overdue the one paused longest, else the smallest."""
        overdue = [agent for agent in roster.paused.values() if self._is_overdue(agent, roster)]
        if overdue:
            return min(overdue, key=lambda agent: (agent.paused_since or 0.0, agent.order))
        return min(roster.paused.values(), key=lambda agent: (agent.context_tokens, agent.order), default=None)

    def yielding(self, roster: Roster) -> Iterable[AgentView]:
        """Those told off that have come to a tool call; at a check, also the smallest in tool calls, until the sum fits."""
        gone = [agent for agent in roster.active.values() if agent.rollout in self._leaving and _is_idle(agent)]
        if self._checked is None or roster.now - self._checked >= 0.9 * self._p.interval_s:  # timers jitter
            self._checked = roster.now
            gone += self._excess(roster)
        gone = gone[: len(roster.active) - 1]
        self._leaving.difference_update(agent.rollout for agent in gone)
        return gone

    def _excess(self, roster: Roster) -> list[AgentView]:
        """The idle among the smallest that stand above the pool; the others are told off."""
        gone = []
        staying = [agent for agent in roster.active.values() if agent.rollout not in self._leaving]
        surplus = sum(map(self._share, staying)) - roster.limit.tokens
        for agent in sorted(staying, key=lambda agent: (not _is_idle(agent), agent.context_tokens, agent.order))[:-1]:
            if surplus <= 0:
                break
            surplus -= self._share(agent)
            if _is_idle(agent):
                gone.append(agent)
            else:
                self._leaving.add(agent.rollout)
        return gone

    def replied(self, agent: AgentView, *, replayed: bool = False) -> None:  # noqa: ARG002 - contexts are what they are
        """A first reply tells how large first contexts are."""
        if agent.steps == 1:
            self._first_contexts += agent.context_tokens
            self._first_replies += 1

    def ended(self, agent: AgentView, roster: Roster) -> None:  # noqa: ARG002 - when does not matter here
        """Nobody has to tell it off any more."""
        self._leaving.discard(agent.rollout)

    def _sum(self, roster: Roster) -> float:
        return sum(map(self._share, roster.active.values()))

    def _share(self, agent: AgentView) -> float:
        return self._tokens(agent) * (self._p.acting_weight if _is_idle(agent) else 1) + self._p.buffer_tokens

    def _tokens(self, agent: AgentView) -> int:
        if agent.context_tokens:
            return agent.context_tokens
        return self._first_contexts // self._first_replies if self._first_replies else self._p.first_tokens

    def _is_overdue(self, agent: AgentView, roster: Roster) -> bool:
        return agent.paused_since is not None and roster.now - agent.paused_since >= self._p.force_s


def _is_idle(agent: AgentView) -> bool:
    """In a tool call, and in no model call beside it."""
    return agent.tools > 0 and not agent.calls
