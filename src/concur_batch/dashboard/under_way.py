"""Time that live agents have spent in what they are at now: replies and tool results tell of theirs when they come. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from concur_batch.state import RunState


@dataclass(slots=True)
class ToolUnderWay:
    """Calls of one tool that have not come back."""

    calls: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0


def phases(state: RunState, now: float) -> dict[str, float]:
    """Seconds in model calls, tools and pauses, and since an attempt failed last. Who waits for an engine that is away counts
    as paused from then on.
    """
    found = {"model": 0.0, "tool": 0.0, "paused": 0.0, "retry": 0.0}
    if state.finished is not None:
        return found
    lost = {name: engine.lost.t for name, engine in state.engines.items() if engine.lost is not None}
    for agent in state.live.values():
        if not agent.taken_up:
            continue
        phase = agent.phase
        if phase == "tool":
            found[phase] += sum(max(0.0, now - tool.since) for tool in agent.tools.values())
            continue
        seconds = max(0.0, now - agent.since)
        away = min(seconds, max(0.0, now - lost[agent.engine])) if phase == "model" and agent.engine in lost else 0.0
        found["retry" if phase == "model" and agent.tries else phase] += seconds - away
        found["paused"] += away
    return found


def tools(state: RunState, now: float) -> dict[str, ToolUnderWay]:
    """By the tool's name."""
    found: dict[str, ToolUnderWay] = {}
    if state.finished is not None:
        return found
    for agent in state.live.values():
        for name, since in agent.tools.values():
            tool = found.get(name) or found.setdefault(name, ToolUnderWay())
            seconds = max(0.0, now - since)
            tool.calls += 1
            tool.seconds += seconds
            tool.longest_s = max(tool.longest_s, seconds)
    return found
