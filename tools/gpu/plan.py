"""What is run, from the trace alone: which agents, how large the KV pool, which fixed windows. Pure but for reading the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concur_batch.sim.trace import trace_of
from concur_batch.sim.workload import AgentTrace, scaled

SWEEP = (0.6, 0.8, 1.0, 1.25, 1.5)
"""Fixed windows, as multiples of the agents whose contexts fit the pool on average."""

HEADROOM_TOKENS = 1024  # a prompt may come out some per cent longer than recorded
LEAST_POOL_TOKENS = 6144  # the texts by which `replay` learns how a server counts have up to 4,800 tokens there
LARGEST = 1.25  # the pool holds the largest agent with this to spare: alone it must run


@dataclass(frozen=True, slots=True)
class Selection:
    """`rows`: lines of the trace as they are; `agents`: what is replayed of them, scaled."""

    rows: tuple[str, ...]
    agents: tuple[AgentTrace, ...]
    left_out: int  # rows passed over: more or fewer model calls, or a conversation that outgrows the model's context


def select(
    trace: Path, agents: int, *, token_scale: float, time_scale: float, context_tokens: int, calls: tuple[int, int] = (1, 10**9)
) -> Selection:
    """The first `agents` rows whose model calls are of that number and whose conversations fit the model's context, scaled.

    Raises ValueError for a trace without any.
    """
    rows: list[str] = []
    chosen: list[AgentTrace] = []
    left_out = 0
    with trace.open(encoding="utf-8") as lines:
        for line in lines:
            if len(rows) == agents:
                break
            agent = scaled(trace_of(json.loads(line)), token_scale, time_scale)
            fits = agent.final_tokens + HEADROOM_TOKENS <= context_tokens
            if not fits or not calls[0] <= len(agent.outputs) <= calls[1]:
                left_out += 1
                continue
            rows.append(line.strip())
            chosen.append(agent)
    if not rows:
        raise ValueError(
            f"{trace}: no agent of it makes {calls[0]} to {calls[1]} model calls within {context_tokens:,} tokens of context; "
            "see --calls and --token-scale"
        )
    return Selection(tuple(rows), tuple(chosen), left_out)


def working_set_tokens(agents: Sequence[AgentTrace]) -> int:
    """All final contexts at once, the part that all share counted once."""
    return max(agent.shared_tokens for agent in agents) + sum(agent.final_tokens - agent.shared_tokens for agent in agents)


def pool_tokens(agents: Sequence[AgentTrace], overflow: float) -> int:
    """The KV pool that the working set overflows so many times; never less than the largest agent needs alone."""
    wanted = working_set_tokens(agents) / overflow
    least = LARGEST * max(agent.final_tokens for agent in agents)
    return round(max(wanted, least, LEAST_POOL_TOKENS))


def mean_private_tokens(agents: Sequence[AgentTrace]) -> float:
    """Of a prompt, without the shared part, on average over all model calls."""
    private = [prompt - agent.shared_tokens for agent in agents for prompt in agent.prompts()]
    return max(1.0, sum(private) / len(private))


def windows(agents: Sequence[AgentTrace], pool: int) -> list[int]:
    """Fixed windows to try, smallest first: none twice, none of more agents than there are."""
    shared = max(agent.shared_tokens for agent in agents)
    fitting = max(1.0, (pool - shared) / mean_private_tokens(agents))
    return sorted({min(len(agents), max(1, round(fitting * share))) for share in SWEEP})


def controllers(chosen: Sequence[int], default: str) -> list[str]:
    """What to run, the most telling first, since the time may end before the last: no control, a window somewhat below what
    fits, the paper's law and the default policy, then the other windows.
    """
    fixed = [f"fixed:{window}" for window in chosen]
    first = fixed[1:2] or fixed[:1]
    return list(dict.fromkeys(["off", *first, "aimd", default, *fixed]))


def described(chosen: Selection, pool: int, overflow: float) -> dict[str, Any]:
    """The plan in figures, to print and to keep with the results."""
    finals = [agent.final_tokens for agent in chosen.agents]
    return {
        "agents": len(chosen.agents),
        "left_out": chosen.left_out,
        "model_calls": sum(len(agent.outputs) for agent in chosen.agents),
        "generated_tokens": sum(sum(agent.outputs) for agent in chosen.agents),
        "mean_final_tokens": round(sum(finals) / len(finals)),
        "most_final_tokens": max(finals),
        "working_set_tokens": working_set_tokens(chosen.agents),
        "pool_tokens": pool,
        "overflow": round(working_set_tokens(chosen.agents) / pool, 2),
        "overflow_asked": overflow,
        "mean_private_tokens": round(mean_private_tokens(chosen.agents)),
        "windows": windows(chosen.agents, pool),
    }
