"""Choose the display that fits where the output goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.console import Console

from concur_batch.dashboard import live as on_terminal
from concur_batch.dashboard import plain
from concur_batch.state import RunState


async def show(
    state: RunState,
    console: Console,
    clock: Callable[[], float],
    closing: asyncio.Event,
    *,
    live: bool = True,
    title: str = "",
) -> None:
    """Show the run until `closing` is set or the task is cancelled: live on a terminal that can, else plain lines.

    `clock`: seconds since the present segment opened. Whatever becomes of the output, the run is not disturbed.
    """
    able = console.is_terminal and not console.is_dumb_terminal
    chosen = on_terminal.show if live and able else plain.show
    await chosen(state, console, clock, closing, title=title)
