"""Single keys from the terminal, beside whatever else the event loop does, and the terminal given back as it was.

Keys are read only while this process belongs to the terminal's foreground group. In the background the terminal is somebody
else's: it is neither read nor changed, so that the process is not stopped for it. Ctrl-C and Ctrl-Z stay signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from rich.console import Console

_LOOK_S = 0.5  # between two looks at whose the terminal is: a shell does not tell a running process that it was brought back
_LFLAG, _CC = 3, 6  # places in what termios gives
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)  # what arrow and function keys send


def listens(console: Console) -> bool:
    """Whether there can be keys: both ends are terminals, and the picture that the keys act on is drawn on one."""
    if not console.is_terminal or console.is_dumb_terminal:
        return False
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return False
    try:
        fd = _opened()
    except OSError:
        return False
    try:
        os.tcgetpgrp(fd)
    except OSError:  # it is a terminal, and not the one that we belong to
        return False
    else:
        return True
    finally:
        os.close(fd)


def _opened() -> int:
    """The terminal at standard input, opened anew: an event loop may make its descriptor non-blocking, and whoever shares it,
    the shell and our own output among them, would get that too.
    """
    try:
        return os.open(os.ttyname(0), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # its name is not known in here, or of another place
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def keys_in(data: bytes, known: str) -> str:
    """The keys that were pressed. A burst with anything unknown in it was pasted, and none of it is meant."""
    text = _ESCAPE.sub(b"", data).decode("utf-8", "replace")
    return text if all(key in known for key in text) else ""


class Keyboard:
    """A context manager, where `listens` says so. `on_key` is called with each of the `known` keys; `console`: where the picture
    is, whose cursor is hidden.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, console: Console, known: str, on_key: Callable[[str], None]) -> None:
        self._loop = loop
        self._console = console
        self._known = known
        self._on_key = on_key
        self._fd = -1
        self._saved: list[Any] | None = None  # the terminal's own setting, while ours is in force
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._stops = False  # Ctrl-Z comes to us first

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):  # it has gone meanwhile: then there are no keys
            self._fd = _opened()
        self._look()
        if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
            self._stops = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._stops:
            self._loop.remove_signal_handler(signal.SIGTSTP)
        self.restore()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def restore(self) -> None:
        """Give the terminal back as it was, its cursor too. Safe at any time, also just before the process leaves at once."""
        self._listen_no_more()
        saved, self._saved = self._saved, None
        if saved is not None and self._is_ours():
            self._set(saved)
            self._show_cursor(shown=True)

    # Whose the terminal is ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take keys where the terminal is ours, and leave it alone where it is not."""
        self._timer = self._loop.call_later(_LOOK_S, self._look)
        if not self._is_ours():
            self._listen_no_more()
            self._saved = None  # whoever has it now has set it as they like
            return
        try:
            setting = termios.tcgetattr(self._fd)
        except termios.error:  # it is gone
            self._listen_no_more()
            return
        if setting[_LFLAG] & (termios.ICANON | termios.ECHO):  # at first, and when a shell has had it meanwhile
            self._saved = [*setting[:_CC], list(setting[_CC])]
            setting[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
            setting[_CC][termios.VMIN], setting[_CC][termios.VTIME] = 1, 0
            self._set(setting)
        self._listen()

    def _is_ours(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False

    def _set(self, setting: list[Any]) -> None:
        """Should the terminal have been taken away in this moment, nothing stops us."""
        with contextlib.suppress(termios.error), _blocked(signal.SIGTTOU):
            termios.tcsetattr(self._fd, termios.TCSANOW, setting)

    def _stop(self) -> None:
        """Ctrl-Z: stop as anybody would, with the terminal as it was; on return it is looked at anew."""
        self.restore()
        self._loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)  # from here on after SIGCONT
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        if self._timer is not None:
            self._timer.cancel()
        self._look()
        if self._saved is not None:
            self._show_cursor(shown=False)

    def _show_cursor(self, *, shown: bool) -> None:
        with contextlib.suppress(OSError, SystemExit):  # rich raises SystemExit on a broken pipe
            self._console.show_cursor(shown)

    # Reading -----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if not self._reading:
            with contextlib.suppress(OSError, ValueError, NotImplementedError):  # a terminal that cannot be waited for: no keys
                self._loop.add_reader(self._fd, self._read)
                self._reading = True

    def _listen_no_more(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _read(self) -> None:
        if not self._is_ours():
            self._listen_no_more()
            return
        try:
            with _blocked(signal.SIGTTIN):
                data = os.read(self._fd, 1024)
        except BlockingIOError:  # another program was faster
            return
        except OSError:
            data = b""
        if not data:  # hung up, or no longer ours; the next look decides
            self._listen_no_more()
            return
        for key in keys_in(data, self._known):
            self._on_key(key)


@contextlib.contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """A process that blocks this signal is not stopped for touching the terminal from the background: the call fails instead."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
