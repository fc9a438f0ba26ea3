"""`concur watch`: the dashboard of a run that another process works on, here or on another node."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from concur_batch.cli.keyboard import Keyboard, listens
from concur_batch.cli.keys import WATCH_KEYS, WatchKeys
from concur_batch.cli.look.onlooker import Onlooker, without_journal
from concur_batch.cli.look.watch_screen import picture, show
from concur_batch.cli.streams import printing
from concur_batch.dashboard.foreground import is_here
from concur_batch.dashboard.live import wait
from concur_batch.dashboard.plain import line
from concur_batch.errors import RunDirectoryError

POLL_S = 0.5
LINES_S = 10.0
_STILL = 30  # lines' time, after which it is said again that a run is waited for


def watch(run_dir: Path, *, once: bool, leave_at_end: bool, live: bool) -> int:
    """Until `q` or Ctrl-C; `once`: one picture; `leave_at_end`: until the run has ended. Returns the exit code.

    Raises RunDirectoryError for a place without a run, and a journal that is broken.
    """
    console = Console(highlight=False)
    on_screen = live and console.is_terminal and not console.is_dumb_terminal
    if once:
        return _once(run_dir, console, on_screen=on_screen)
    onlooker = Onlooker(run_dir)
    asyncio.run(_follow(onlooker, console, leave_at_end=leave_at_end, on_screen=on_screen))
    return 0


def _once(run_dir: Path, console: Console, *, on_screen: bool) -> int:
    onlooker = Onlooker(run_dir, patience=0)
    while onlooker.look():
        pass
    if not onlooker.state.has_begun:
        told = None if onlooker.is_held else without_journal(run_dir)
        raise RunDirectoryError(f"{run_dir}: {told or 'no run has begun here yet; without --once it is waited for'}")
    if on_screen:
        console.print(picture(onlooker, console, last=onlooker.ended))
    else:
        _print(onlooker, console)
    return 0


async def _follow(onlooker: Onlooker, console: Console, *, leave_at_end: bool, on_screen: bool) -> None:
    loop, closing = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, closing.set)
    keys = WatchKeys(closing.set)
    keyboard = Keyboard(loop, console, WATCH_KEYS, keys.press) if on_screen and listens(console) else None
    reading = loop.create_task(_read(onlooker, closing, leave_at_end=leave_at_end), name="read")
    with keyboard or contextlib.nullcontext():
        if not on_screen or not is_here(console):
            await _lines(onlooker, console, closing, until=lambda: on_screen and is_here(console))
        if on_screen and is_here(console):
            await show(onlooker, console, closing, lambda: keys.views.shown, keys=keyboard is not None)
    await reading  # raises what is wrong with the journal


async def _read(onlooker: Onlooker, closing: asyncio.Event, *, leave_at_end: bool) -> None:
    """Take in what comes, so that there is always time to draw between two blocks."""
    try:
        while not closing.is_set():
            if onlooker.look():
                await asyncio.sleep(0)
            elif leave_at_end and onlooker.ended:
                return
            else:
                await wait(closing, POLL_S)
    finally:
        closing.set()


async def _lines(onlooker: Onlooker, console: Console, closing: asyncio.Event, until: Callable[[], bool]) -> None:
    """A plain line now and then while there is news, and a last one. What is waited for is said again, rarely.

    `until`: what ends it, asked now and then; whatever else does sets `closing`.
    """
    told, silent, due, now = None, 0, 0.0, asyncio.get_running_loop().time
    with contextlib.suppress(SystemExit), printing():  # which raises it where the reader has left
        while not closing.is_set():
            await wait(closing, POLL_S)
            if until():
                return
            if now() < due and not closing.is_set():
                continue
            news = (onlooker.state.segments, onlooker.state.time, onlooker.state.finished, onlooker.remark)
            silent += 1
            due = 0.0 if told is None else now() + LINES_S
            waits = not onlooker.state.has_begun and silent >= _STILL
            if onlooker.caught_up and (news != told or waits):
                told, silent, due = news, 0, now() + LINES_S
                _print(onlooker, console)
    closing.set()


def _print(onlooker: Onlooker, console: Console) -> None:
    text = line(onlooker.state, onlooker.now) if onlooker.state.has_begun else ""
    console.out("; ".join(part for part in (text, onlooker.remark) if part), highlight=False)
