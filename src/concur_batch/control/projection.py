"""How much KV a set of agents will need at its peak: the greatest expected sum of their contexts over the steps to come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from concur_batch.control.base import AgentView
from concur_batch.control.kinds import Kind, Kinds

_POINTS = 16  # of the steps to come, at which the sum is taken
_HORIZON = 2.0  # mean lives


class Crowd(NamedTuple):
    """Agents, and how surely each holds its KV while it lives: `now`, and in the long run, when some are away in long tool calls."""

    agents: Iterable[AgentView]
    now: float = 1.0
    later: float = 1.0


def peak_tokens(crowds: Iterable[Crowd], kinds: Kinds, in_flight_tokens: float, ahead: int | None = None) -> float:
    """Tokens, each kind's shared prefix counted once. `in_flight_tokens`: of a model call, what its agent's context does not tell yet.
    `ahead`: steps, beyond which nothing is foreseen; None: two mean lives.

    A step is the unit of time, the same for all. An agent that has made k steps and whose context is c is about its next one,
    and will have, tau steps from now, c + g tau with probability S(k + 1 + tau) / S(k + 1), 0 beyond its limit on steps.
    """
    groups = _groups(crowds, kinds, in_flight_tokens)
    if not groups:
        return 0.0
    met = {kind for kind, *_ in groups}
    horizon = _HORIZON * max(kind.survival.mean_steps for kind in met)
    if ahead is not None:
        horizon = min(horizon, ahead)
    points = sorted({round(horizon * j / (_POINTS - 1)) for j in range(_POINTS)})
    rows = [_row(*key, *group, points[-1]) for key, group in groups.items()]
    return max(_expected(rows, tau) for tau in points) + sum(kind.shared_tokens for kind in met)


def private_tokens(agents: Iterable[AgentView], kinds: Kinds, in_flight_tokens: float) -> Iterator[tuple[AgentView, Kind, float]]:
    """Of each agent, its KV at present that is in no other context."""
    for agent in agents:
        kind = kinds.of(agent)
        if agent.steps:
            shared = kind.shared_tokens  # as in `own_tokens`, which would be called for each agent at each decision
            tokens = agent.context_tokens + agent.other_tokens - max(shared, agent.shared_tokens)
            tokens = max(tokens, 0.0)
            yield agent, kind, tokens + in_flight_tokens if agent.calls else tokens
        else:
            yield agent, kind, kind.first_own_tokens


class _Row(NamedTuple):
    """Agents that are alike to the forecast."""

    shares: Sequence[float]  # S
    steps: int  # made, and the one that they are about
    alive: float  # S of these steps
    now: float
    later: float
    stay: float  # share of steps without a long tool call
    growth: float  # tokens per step of all of them
    tokens: float  # contexts of all of them


_Key = tuple[Kind, int, float, float, int | None]  # steps with the one they are about, now, later, steps at most


def _groups(crowds: Iterable[Crowd], kinds: Kinds, in_flight_tokens: float) -> dict[_Key, tuple[int, float]]:
    """How many agents are alike, and their tokens."""
    groups: dict[_Key, tuple[int, float]] = {}
    for crowd in crowds:
        for agent, kind, tokens in private_tokens(crowd.agents, kinds, in_flight_tokens):
            key = kind, agent.steps + 1, crowd.now, crowd.later, agent.most_steps
            count, whole = groups.get(key, (0, 0.0))
            groups[key] = count + 1, whole + tokens
    return groups


def _row(kind: Kind, steps: int, now: float, later: float, most: int | None, count: int, tokens: float, horizon: int) -> _Row:
    shares = kind.survival.shares(steps + horizon)
    if most is not None and steps <= most < steps + horizon:  # one that is beyond its last step has shown that it is none
        shares = [*shares[: most + 1], *[0.0] * (steps + horizon - most)]
    return _Row(shares, steps, shares[steps], now, later, 1.0 - kind.long_share, count * kind.growth_tokens, tokens)


def _expected(rows: Iterable[_Row], tau: int) -> float:
    """The sum of the contexts `tau` steps from now."""
    total = 0.0
    for shares, steps, alive, now, later, stay, growth, tokens in rows:
        lives = shares[steps + tau] / alive
        holds = now if stay == 1.0 or now == later else later + (now - later) * stay**tau
        total += lives * holds * (tokens + growth * tau)
    return total
