"""The dashboard on a terminal, drawn anew twice a second by a task of the run's own loop (no thread)."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

from rich.console import Console

from concur_batch.dashboard.foreground import Foreground
from concur_batch.dashboard.picture import Picture
from concur_batch.dashboard.view import View, render
from concur_batch.state import RunState

INTERVAL_S = 0.5
_TICK_S = 0.1  # a key shows its effect as soon


async def show(
    state: RunState,
    console: Console,
    clock: Callable[[], float],
    closing: asyncio.Event,
    *,
    title: str = "",
    view: Callable[[], View] = lambda: "main",
    keys: bool = False,
    steering: bool = True,
    interval_s: float = INTERVAL_S,
) -> None:
    """Draw until `closing` is set or the task is cancelled; leaves a last picture without the agents, and the cursor shown.

    `clock`: seconds since the present segment opened. `view`: which picture is wanted, asked at every drawing; the last one is
    always the main one. `keys`: whether a person's keys are listened to, so that they are named at the foot; `steering`:
    with those that steer the run, which one who looks on at another process's run has not. A terminal that goes
    away ends the display, not the run. One that a shell has taken back (Ctrl-Z, `bg`) is left alone until `fg`.
    """

    def draw(*, last: bool = False) -> None:
        width, height = console.size
        ascii_only = console.options.ascii_only
        drawn = render(
            state,
            clock(),
            width,
            height - 1,
            title=title,
            ascii_only=ascii_only,
            last=last,
            view="main" if last else view(),
            keys=keys,
            steering=steering,
        )
        picture.draw(drawn)

    picture = Picture(console)
    shown, due, now = None, 0.0, asyncio.get_running_loop().time
    try:
        with picture, Foreground(console, picture) as foreground:
            try:
                while not closing.is_set():
                    wanted = view(), state.steered
                    is_due = wanted != shown or now() >= due or picture.is_lost
                    if foreground.is_ours() and is_due and _takes_more(console):
                        draw()
                        shown, due = wanted, now() + interval_s
                    await wait(closing, min(interval_s, _TICK_S))
            finally:
                if foreground.is_ours():
                    draw(last=True)
    except (OSError, SystemExit):  # rich raises SystemExit on a broken pipe; nobody looks on, and the run must not end for that
        return


async def wait(closing: asyncio.Event, seconds: float) -> None:
    """Until the event is set, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return


def _takes_more(console: Console) -> bool:
    """Whether the terminal accepts output now: one stopped with Ctrl-S or behind a dead line would hold up the whole run."""
    try:
        return bool(select.select([], [console.file.fileno()], [], 0)[1])
    except (OSError, ValueError):  # no descriptor, or none that can be asked: writing cannot block
        return True
