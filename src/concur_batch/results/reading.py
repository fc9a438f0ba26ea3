"""A trajectory for people to read, with whatever it holds made harmless for their terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from concur_batch.results.trajectory import Part
from concur_batch.results.visible import one_line, visible

_STYLES = {
    "system": "bold magenta",
    "user": "bold blue",
    "assistant": "bold green",
    "tool": "bold cyan",
    "failed": "bold red",
    "note": "yellow",
}


def render_parts(parts: Iterable[Part]) -> Iterator[Text]:
    """One text per paragraph, to be printed with line wrapping left to the terminal; an empty one before each part."""
    for part in parts:
        yield Text()
        yield _heading(part)
        if part.reasoning:
            yield Text(_indented(part.reasoning, "  │ "), style="dim italic")
        if part.content:
            yield Text(_indented(part.content, "  "))
        for name, arguments in part.calls:
            yield Text(f"  → {one_line(name)}", style="bold cyan")
            yield Text(_indented(_arguments(arguments), "    "))


def _heading(part: Part) -> Text:
    text = Text.assemble((one_line(part.heading), _STYLES[part.kind]))
    if part.facts:
        text.append(f"  {one_line(part.facts)}", style="dim")
    return text


def _arguments(arguments: Any) -> str:
    """One line per argument; texts of several lines as they are, below their name."""
    if not isinstance(arguments, dict):
        return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return "\n".join(_argument(name, value) for name, value in arguments.items()) or "(no arguments)"


def _argument(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return f"{name}: {json.dumps(value, ensure_ascii=False)}"
    return f"{name}: {value}" if "\n" not in value else f"{name}:\n{_indented(value, '  ')}"


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line for line in visible(text).rstrip("\n").split("\n"))
