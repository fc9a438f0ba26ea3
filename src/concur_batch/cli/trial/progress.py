"""A line on standard error that tells how far it is, in the place of the one before. Nothing where that is no terminal that can do so."""

from __future__ import annotations

import os
import shutil
import sys

_DUMB = ("dumb", "unknown")  # values of TERM


def show(line: str) -> None:
    """As much of it as one line holds."""
    if _is_able():
        line = line[: shutil.get_terminal_size().columns - 1]
        print(f"\r{line}\x1b[K", end="\r", file=sys.stderr, flush=True)  # noqa: T201 - a line of progress


def clear() -> None:
    """The line goes."""
    if _is_able():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201 - the same


def _is_able() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in _DUMB
