"""What live agents are at by the newest record: replies and tool results tell of their own time only when they come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from concur_batch.report.lives import Span
from concur_batch.state import RunState
from concur_batch.state.live import LiveRollout


def spans(state: RunState, live: LiveRollout, word: str = "under way", now: float | None = None) -> Iterator[Span]:
    """In seconds of work, up to `now`, or else the newest record: tool calls that have not come back, else a pause, or the model call.

    Between its calls an agent is taken to be in the next model call; while the engine is away, to wait for it.
    """
    now, before = state.elapsed if now is None else now, state.elapsed_before
    if live.paused:
        yield Span("paused", before + live.since, now)
    elif live.tools:
        for name, since in live.tools.values():
            yield Span("tool", before + since, now, f"{name} ({word})")
    else:
        lost = state.engines[live.engine].lost if live.engine in state.engines else None
        away = now if lost is None else max(before + live.since, before + lost.t)
        yield Span("retry" if live.tries else "model", before + live.since, away, f"({word})")
        yield Span("waiting", away, now, f"({word})")


def seconds(state: RunState) -> dict[str, float]:
    """Of all live agents together, by phase. At a process's end their waits are in the totals."""
    found: dict[str, float] = {}
    for live in state.live.values():
        if not live.taken_up:
            continue
        for span in spans(state, live):
            if state.finished is not None and span.phase not in ("model", "tool"):
                continue
            found[span.phase] = found.get(span.phase, 0.0) + max(0.0, span.end - span.start)
    return found
