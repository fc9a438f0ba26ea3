"""How much KV a set of agents will need at its peak: the greatest expected sum of their contexts over the steps to come. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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


def peak_tokens(crowds: Iterable[Crowd], kinds: Kinds, in_flight_tokens: float) -> float:
    """Tokens, each kind's shared prefix counted once. `in_flight_tokens`: of a model call, what its agent's context does not tell yet.

    A step is the unit of time, the same for all. An agent that has made k steps and whose context is c will have, tau steps
    from now, c + g tau with probability S(k + tau) / S(k); one with a hint of its length lives until it gets there.
    """
    rows = _rows(crowds, kinds, in_flight_tokens)
    if not rows:
        return 0.0
    met = {row.kind for row in rows}
    horizon = _HORIZON * max(kind.survival.mean_steps for kind in met)
    peak = max(_expected(rows, horizon * j / (_POINTS - 1)) for j in range(_POINTS))
    return peak + sum(kind.shared_tokens for kind in met)


def private_tokens(agent: AgentView, kind: Kind, in_flight_tokens: float) -> float:
    """Its KV at present that is in no other context."""
    known = agent.context_tokens if agent.steps else kind.first_tokens
    return max(0.0, known - kind.shared_tokens) + (in_flight_tokens if agent.calls and agent.steps else 0.0)


class _Row(NamedTuple):
    """Agents that are alike to the forecast."""

    kind: Kind
    logs: Sequence[float]
    steps: int  # made; with a hint: to come
    alive: float  # logarithm of the share that gets so far
    hinted: bool
    now: float
    later: float
    stay: float  # logarithm of the share of steps without a long tool call
    growth: float  # tokens per step of all of them
    tokens: float  # contexts of all of them


def _rows(crowds: Iterable[Crowd], kinds: Kinds, in_flight_tokens: float) -> list[_Row]:
    groups: dict[tuple[Kind, int, bool, float, float], list[float]] = {}  # -> how many, and their tokens
    for crowd in crowds:
        for agent in crowd.agents:
            kind = kinds.of(agent)
            tokens, steps, hinted = private_tokens(agent, kind, in_flight_tokens), agent.steps, False
            if agent.expected_tokens is not None:
                left = agent.expected_tokens - kind.shared_tokens - tokens
                if left > 0:
                    steps, hinted = math.ceil(left / kind.growth_tokens), True
            group = groups.setdefault((kind, steps, hinted, crowd.now, crowd.later), [0.0, 0.0])
            group[0] += 1
            group[1] += tokens
    rows = []
    for (kind, steps, hinted, now, later), (count, tokens) in groups.items():
        logs = kind.survival.logs()
        rows.append(
            _Row(
                kind=kind,
                logs=logs,
                steps=steps,
                alive=_log(logs, steps),
                hinted=hinted,
                now=now,
                later=later,
                stay=math.log1p(-min(kind.long_share, 0.999)),
                growth=count * kind.growth_tokens,
                tokens=tokens,
            )
        )
    return rows


def _log(logs: Sequence[float], steps: float) -> float:
    """Between the whole steps, and beyond the last that is known."""
    last = len(logs) - 1
    below = min(int(steps), last - 1)
    return logs[below] + (steps - below) * (logs[below + 1] - logs[below])


def _expected(rows: Iterable[_Row], tau: float) -> float:
    """The sum of the contexts `tau` steps from now."""
    total = 0.0
    for row in rows:
        if row.hinted:
            if tau > row.steps:
                continue
            alive = 1.0
        else:
            alive = math.exp(_log(row.logs, row.steps + tau) - row.alive)
        holds = row.later + (row.now - row.later) * math.exp(row.stay * tau)
        total += alive * holds * (row.tokens + row.growth * tau)
    return total
