"""Whose the terminal is: after `&`, or Ctrl-Z and `bg`, a shell's, until `fg`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from types import TracebackType
from typing import Self

from rich.console import Console

from concur_batch.dashboard.picture import Picture


class Foreground:
    """A context manager. While a shell has the terminal, and after every stop, the picture counts as lost."""

    def __init__(self, console: Console, picture: Picture) -> None:
        self._console = console
        self._picture = picture
        self._is_ours = True
        self._listens = False

    def __enter__(self) -> Self:
        """Hear when the process is continued: what was written meanwhile, however short that was, is not known."""
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):  # in a thread of somebody's own program
            asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, self._picture.lose)
            self._listens = True
        self.is_ours()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._listens:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)

    def is_ours(self) -> bool:
        """Whether to draw. To be asked often: a shell does not tell a running process that it was sent back or brought here."""
        ours = is_here(self._console)
        if not ours or not self._is_ours:  # brought here just now
            self._picture.lose()
        self._is_ours = ours
        return ours


def is_here(console: Console) -> bool:
    """Whether no other group of processes has this terminal."""
    try:
        return os.tcgetpgrp(console.file.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # no terminal, or not the one that we belong to
        return True
