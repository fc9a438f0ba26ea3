"""What is cut off has no record of its own: what it came to by then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concur_batch import records as r
from concur_batch.state.engine import EngineView
from concur_batch.state.live import LiveRollout
from concur_batch.state.totals import Totals


def add_waits(totals: Totals, agents: Iterable[LiveRollout], engines: Mapping[str, EngineView], end: float) -> None:
    """Of these agents: in pauses, for an engine that was away, and between attempts, until the end. Model calls and tools count
    when they come back. Whoever has not been taken up in this segment has waited for nothing in it but that.
    """
    for agent in agents:
        if not agent.taken_up:
            continue
        seconds = max(0.0, end - agent.since)
        if agent.paused:
            totals.paused_s += seconds
        elif not agent.tools:
            engine = engines.get(agent.engine)
            lost = None if engine is None else engine.lost
            away = 0.0 if lost is None else min(seconds, max(0.0, end - lost.t))
            totals.wait_s += away
            totals.retry_s += seconds - away if agent.tries else 0.0


def add_cut_off(totals: Totals, took: r.CutOff, agent: LiveRollout | None) -> None:
    """Of calls that were cut off by the end of this agent; its retries have told of a part already."""
    told_s = sum(tried.seconds for tried in agent.retrying.values()) if agent is not None else 0.0
    totals.model_s += took.model_s
    totals.tool_s += took.tool_s
    totals.wait_s += took.wait_s
    totals.retry_s += max(0.0, took.retry_s - told_s)
