"""The `tools` column: each entry must name a tool that can really be called."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from concur_batch.toolbox.base import FINISH_SPEC

_ALWAYS = frozenset({FINISH_SPEC.name})
_LISTED = 12  # so many known names are told


def tool_problems(tools: Sequence[Any], known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with these entries, as (position, text)."""
    seen = set()
    for position, entry in enumerate(tools):
        name = entry if type(entry) is str else function_name(entry)
        if name is None:
            yield position, 'should be a tool\'s name or {"type": "function", "function": {"name": ..., "parameters": ...}}'
        elif name not in known and name not in _ALWAYS:
            yield position, _unknown(name, known | _ALWAYS)
        elif name in seen:
            yield position, f'"{name}" is listed twice; list it once'
        seen.add(name)


def function_name(entry: Any) -> str | None:
    """The name in an OpenAI function schema; None where it is none."""
    if type(entry) is not dict or entry.get("type", "function") != "function":
        return None
    function = entry.get("function")
    name = function.get("name") if type(function) is dict else None
    return name if type(name) is str else None


def _unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f'there is no tool "{name}"; did you mean "{near[0]}"?'
    names = sorted(known)
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f'there is no tool "{name}"; known are {listed}; own tools are brought by --tools FILE.py'
