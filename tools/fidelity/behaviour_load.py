"""The load of the comparison of behaviour: drawn for the server, and read back from a run as what the server really got."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from concur_batch import records as r
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from program import journal

# Short replies and tools, long observations: prefill is most of the work, as with agents on GPUs. Contexts end near 3,000
# tokens, so that a pool of 20,000 holds seven at their longest and some eleven at their mean.
DRAWN = WorkloadParameters(
    agents=24,
    shared_tokens=300,
    start_tokens=700,
    least_steps=6,
    most_steps=9,
    output_median=24,
    output_sigma=0.4,
    most_output=120,
    observation_median=250,
    observation_sigma=0.5,
    least_observation=40,
    tool_median_s=0.15,
    tool_sigma=0.6,
    most_tool_s=4.0,
    most_private_tokens=6000,
)


def row(trace: AgentTrace) -> dict[str, object]:
    """As a line of a trace file (docs/workloads.md)."""
    return {
        "input_prompt_length": trace.prompt_tokens,
        "shared_prefix_length": trace.shared_tokens,
        "num_turns": len(trace.observations),
        "assistant_response_length": trace.outputs[:-1],
        "tool_call_output_length": trace.observations,
        "tool_call_latency": trace.tool_seconds,
        "final_assistant_response_length": trace.outputs[-1],
    }


def write(traces: Iterable[AgentTrace], path: Path) -> Path:
    """A trace file."""
    path.write_text("".join(json.dumps(row(trace)) + "\n" for trace in traces))
    return path


def drawn(path: Path, agents: int = DRAWN.agents, seed: int = 0) -> Path:
    """The load as it is meant."""
    return write(generate(dataclasses.replace(DRAWN, agents=agents), seed), path)


def sent(run_directory: Path) -> list[AgentTrace]:
    """The load as a finished replay sent it, by the server's own counts and the tools' real times, in the trace's order.

    The shared part is the most that a first prompt found in the cache: template and system message.
    """
    index: dict[str, int] = {}
    replies: dict[str, list[r.ReplyReceived]] = defaultdict(list)
    tools: dict[str, list[float]] = defaultdict(list)
    for record in journal(run_directory):
        if isinstance(record, r.RolloutStarted):
            index[record.rollout] = record.index
        elif isinstance(record, r.ReplyReceived):
            replies[record.rollout].append(record)
        elif isinstance(record, r.ToolStarted):
            tools[record.rollout].append(-record.t)
        elif isinstance(record, r.ToolFinished):
            tools[record.rollout][-1] += record.t
    shared = max(calls[0].cached_tokens or 0 for calls in replies.values())
    return [_as_sent(replies[rollout], tools[rollout], shared) for rollout in sorted(index, key=index.__getitem__)]


def _as_sent(calls: list[r.ReplyReceived], seconds: list[float], shared: int) -> AgentTrace:
    prompts = [call.prompt_tokens for call in calls]
    outputs = [call.completion_tokens for call in calls]
    grown = (after - before - output for before, after, output in zip(prompts, prompts[1:], outputs, strict=False))
    return AgentTrace(
        shared_tokens=min(shared, prompts[0]),
        prompt_tokens=prompts[0],
        outputs=tuple(outputs),
        observations=tuple(max(1, tokens) for tokens in grown),
        tool_seconds=tuple(max(0.0, value) for value in seconds),
    )
