"""The live dashboard of somebody else's run, drawn anew twice a second, with a line below for what the journal does not tell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from rich.console import Console, Group
from rich.text import Text

from concur_batch.cli.look.onlooker import Onlooker
from concur_batch.dashboard.figures import clean
from concur_batch.dashboard.foreground import Foreground
from concur_batch.dashboard.live import wait
from concur_batch.dashboard.picture import Picture
from concur_batch.dashboard.view import View, render

INTERVAL_S = 0.5


async def show(onlooker: Onlooker, console: Console, closing: asyncio.Event, view: Callable[[], View], *, keys: bool) -> None:
    """Draw until `closing` is set; leaves a last picture, and the cursor shown. A terminal that goes away sets `closing`."""
    screen = Picture(console)
    with contextlib.suppress(OSError, SystemExit), screen, Foreground(console, screen) as foreground:  # rich raises SystemExit
        while not closing.is_set():
            if foreground.is_ours():
                screen.draw(picture(onlooker, console, view(), keys=keys))
            await wait(closing, INTERVAL_S)
        if foreground.is_ours():
            screen.draw(picture(onlooker, console, last=True))
    closing.set()


def picture(onlooker: Onlooker, console: Console, view: View = "main", *, keys: bool = False, last: bool = False) -> Group:
    """The dashboard, and the line below it; before there is a run, the line alone, which says what is waited for."""
    width, height = console.size
    ascii_only = console.options.ascii_only
    remark = Text(clean(onlooker.remark, ascii_only=ascii_only), style="yellow", no_wrap=True)
    remark.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    below = [remark] if remark else []
    if not onlooker.state.has_begun:
        return Group(*below, *([Text("q leave", style="dim")] if keys else []))
    run = render(
        onlooker.state,
        onlooker.now,
        width,
        height - 1 - len(below),
        view=view,
        keys=keys,
        steering=False,
        title=onlooker.run_dir.name or str(onlooker.run_dir),
        ascii_only=ascii_only,
        last=last,
    )
    return Group(run, *below)
