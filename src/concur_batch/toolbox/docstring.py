"""Reads what a docstring tells about a function and its arguments (Google's style, or plain text)."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_ARGUMENTS = re.compile(r"(Args|Arguments|Parameters|Params):\s*")
_LEFT_OUT = re.compile(r"(Raises|Yields):\s*")  # of no use to a model
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


class Docstring(NamedTuple):
    """The description without the sections about arguments and exceptions, and a description per argument."""

    description: str
    arguments: dict[str, str]


def parse_docstring(text: str | None) -> Docstring:
    """Take a docstring apart; what cannot be made out stays in the description."""
    description: list[str] = []
    entries: list[str] = []
    into: list[str] | None = description
    for line in inspect.cleandoc(text or "").splitlines():
        if _ARGUMENTS.fullmatch(line):
            into = entries
        elif _LEFT_OUT.fullmatch(line):
            into = None
        elif into is not description and line and not line[0].isspace():  # the section has ended
            into = description
            description.append(line)
        elif into is not None:
            into.append(line)
    return Docstring("\n".join(description).strip(), _arguments(entries))


def _arguments(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    current: str | None = None
    for line in lines:
        entry = _ENTRY.fullmatch(line[indent:])
        if entry is not None:
            current = entry[1]
            found[current] = entry[2].strip()
        elif current is not None and line.strip():  # goes on from the line before
            found[current] = f"{found[current]} {line.strip()}".strip()
    return found
