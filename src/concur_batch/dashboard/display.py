"""Choose the display that fits where the output goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.console import Console

from concur_batch.dashboard import live as on_terminal
from concur_batch.dashboard import plain
from concur_batch.dashboard.foreground import is_here
from concur_batch.dashboard.view import View
from concur_batch.state import RunState


async def show(
    state: RunState,
    console: Console,
    clock: Callable[[], float],
    closing: asyncio.Event,
    *,
    live: bool = True,
    title: str = "",
    view: Callable[[], View] = lambda: "main",
    keys: bool = False,
    steering: bool = True,
) -> None:
    """Show the run until `closing` is set or the task is cancelled: live on a terminal that can, else plain lines.

    What began in the background gets plain lines, too, until it is brought to the foreground.
    `view`, `keys` and `steering` are for the live display: see there. `clock`: seconds since the present segment opened. Whatever becomes of the output, the run is not disturbed.
    """
    able = console.is_terminal and not console.is_dumb_terminal
    if live and able:
        if not is_here(console):
            await plain.show(state, console, clock, closing, until=lambda: is_here(console))
        if is_here(console):
            await on_terminal.show(state, console, clock, closing, title=title, view=view, keys=keys, steering=steering)
    else:
        await plain.show(state, console, clock, closing)
