"""Text that a model, a tool or a task wrote, made fit for a terminal: nothing in it can move the cursor or hide what follows."""

from __future__ import annotations

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the order of what is shown
_OTHER_LINES = "\u2028\u2029"
_HIDDEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI}{_OTHER_LINES}]")
_SPACE = re.compile(r"\s+")


def visible(text: str) -> str:
    """The same with control characters, other than line ends and tabs, as their escapes."""
    return _HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str, longest: int = 300) -> str:
    """Its first words, on one line."""
    return visible(_SPACE.sub(" ", text[: 4 * longest]).strip())[:longest]


def shortened(text: str, longest: int) -> str:
    """On one line, with an ellipsis where it has more characters than that."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
