"""Who begins while nobody has shown yet what agents are like: the first of all, the waves after them, and how far ahead to look. Pure."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from math import fsum

from concur_batch.control.base import AgentView
from concur_batch.control.kinds import LEAST_PER_POOL, Kind

_LEAST_FIRST = 4  # agents, however small the pool and whatever their prompts
_FIRST_TOKENS = 4_096  # of the pool, for each agent before the first sample, whatever its prompt
_ROOM_TOKENS = 8_192  # of the pool, for each agent that begins unheard; before the first sample its prompt besides
_AHEAD = 10  # steps, beyond which nothing is foreseen until the first agent has ended
_AHEAD_SMALL = 6  # the same in a small batch
_SMALL = 4 / 3  # times as many agents as would fit by then: a batch of no more is small


class Start:
    """How many may begin before others have been heard."""

    def __init__(self, first: int, pool_tokens: int | None) -> None:
        """`first`: agents before the first sample, if nothing is known. `pool_tokens`: as far as it is known beforehand."""
        self.first = first if pool_tokens is None else min(first, max(_LEAST_FIRST, pool_tokens // _FIRST_TOKENS))
        """Agents before the first sample, whatever their prompts."""
        self._pool_tokens = pool_tokens or 0
        self._small = self._pool_tokens / LEAST_PER_POOL  # what an agent is taken to come to, at most

    @property
    def most(self) -> int:
        """Agents before the first sample, however short their prompts."""
        return max(self.first, self._pool_tokens // _ROOM_TOKENS, LEAST_PER_POOL if self._pool_tokens else 0)

    def has_room(self, agent: AgentView, active: Collection[AgentView]) -> bool:
        """Before the first sample: whether this one may begin, too. Beyond the first few, if the prompts of all leave room for growth."""
        if len(active) < self.first:
            return True
        prompts = [view.prompt_tokens for view in chain((agent,), active)]
        grown = fsum(max(prompt, min(prompt + _ROOM_TOKENS, self._small)) for prompt in prompts)
        return all(prompts) and grown <= self._pool_tokens

    def too_many(self, agent: AgentView, active: Collection[AgentView], whole: Kind, pool_tokens: float | None) -> bool:
        """Whether this one has to wait until more have been heard. Agents start in waves, each at most three times as many as before, so that
        the first to be heard can tell how large the others may be.

        Those that will end with their first step do not count: they have nothing that could be lost.
        """
        if agent.steps or is_last(agent):
            return False
        unheard = 1 + sum(view.steps == 0 and not is_last(view) for view in active)
        most = max(self.first, (pool_tokens or 0.0) / _ROOM_TOKENS, 2 * whole.heard)
        return unheard * whole.survival.shares(2)[2] > most


def steps_ahead(whole: Kind, agents: int, in_flight_tokens: float, tokens: int) -> int:
    """How far to look while nobody has ended, since how long agents live is a guess so long: where nearly all `agents` would fit into
    `tokens` for the next steps, it is not worth holding the last back for.
    """
    soon = whole.first_own_tokens + _AHEAD_SMALL * whole.growth_tokens + in_flight_tokens
    return _AHEAD_SMALL if agents * soon <= _SMALL * tokens else _AHEAD


def is_last(agent: AgentView) -> bool:
    """Whether the step that it is about is the last that it may make."""
    return agent.most_steps is not None and agent.steps + 1 == agent.most_steps
