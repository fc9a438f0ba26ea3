"""Progress where there is no terminal: one plain line now and then, fit for a log file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.console import Console

from concur_batch.dashboard import pace
from concur_batch.dashboard.figures import clean, duration, milliseconds, progress, rate, share
from concur_batch.dashboard.head import by_hand
from concur_batch.dashboard.limits import bound, moved
from concur_batch.dashboard.live import wait
from concur_batch.state import RunState

INTERVAL_S = 10.0
_LOOK_S = 0.5


def line(state: RunState, now: float) -> str:
    """Everything that matters on one line of ASCII."""
    ended = len(state.ended)
    done = progress(ended, state.rollouts) if state.rollouts > 0 else "0%"
    parts = [
        f"[{duration(state.elapsed_before + now)}] {ended}/{state.rollouts} ended ({done}), {state.failed} failed",
        f"active {state.active}, paused {len(state.live) - state.active}, waiting {state.unstarted}",
    ]
    speed = pace.current(state, now) or pace.overall(state, now)
    if speed is not None:
        parts.append(f"{rate(speed.steps)} steps/s, {rate(speed.generated_tokens)} tok/s generated")
    for engine in state.engines.values():
        name = f"{engine.name}: " if len(state.engines) > 1 else ""
        known = engine.sample is not None and engine.sample.locked is not None and state.finished is None
        locked = f", locked {share(engine.sample.locked)}" if engine.sample is not None and known else ""
        old = ", no fresh reading" if engine.sample is not None and engine.sample.stale and state.finished is None else ""
        parts.append(f"{name}limit {bound(engine, state).words} ({moved(engine, now)}){locked}{old}")
        if engine.lost is not None:
            parts.append(f"ENGINE LOST {engine.name} for {duration(now - engine.lost.t)}: {engine.away}")
        again = state.retrying(engine.name)
        if again is not None:
            parts.append(f"{again.calls} call{'s' * (again.calls != 1)} tried again, {name}{again.message}")
    parts += by_hand(state, "x")
    hit = state.segment_totals.hit_rate
    if hit is not None:
        parts.append(f"cached {share(hit)}")
    parts.append(f"lag {milliseconds(state.lag_s)}")
    left = pace.left_s(state, now)
    if left is not None:
        parts.append(f"{duration(left)} left")
    if state.finished is not None:
        parts.append(f"ended: {state.finished}")
    elif state.draining is not None:
        parts.append(f"draining ({state.draining})")
    return "; ".join(clean(part, ascii_only=True) for part in parts)


async def show(
    state: RunState,
    console: Console,
    clock: Callable[[], float],
    closing: asyncio.Event,
    *,
    interval_s: float = INTERVAL_S,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """A line every `interval_s` seconds until `closing` is set or the task is cancelled, and a last one then.

    `until`: what ends it, too, without a last line; asked twice a second. `clock`: seconds since the present segment opened. A reader that goes away ends the lines, not the run.
    """
    now = asyncio.get_running_loop().time
    due = now() + interval_s
    try:
        try:
            while not closing.is_set():
                await wait(closing, min(interval_s, _LOOK_S))
                if until():
                    return
                if not closing.is_set() and now() >= due:
                    console.out(line(state, clock()), highlight=False)
                    due = now() + interval_s
        finally:
            if not until():
                console.out(line(state, clock()), highlight=False)
    except (OSError, SystemExit):  # rich raises SystemExit on a broken pipe; nobody looks on, and the run must not end for that
        return
