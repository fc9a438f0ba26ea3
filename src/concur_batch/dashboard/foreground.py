"""Whose the terminal is: after Ctrl-Z and `bg` a shell's, until `fg`."""

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
    """A context manager. While a shell has the terminal, and after every stop, the picture counts as lost.

    A process that has never been in the foreground (`timeout 60 concur run` in a script makes a group of its own) draws all the
    same: there is no shell that it would disturb.
    """

    def __init__(self, console: Console, picture: Picture) -> None:
        self._console = console
        self._picture = picture
        self._was_ours = False  # at any time
        self._is_ours: bool | None = None
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
        try:
            ours = os.tcgetpgrp(self._console.file.fileno()) == os.getpgrp()
        except (OSError, ValueError):  # no terminal, or not the one that we belong to
            return True
        self._was_ours = self._was_ours or ours
        if self._was_ours and (not ours or self._is_ours is False):  # brought here just now
            self._picture.lose()
        self._is_ours = ours
        return ours or not self._was_ours
