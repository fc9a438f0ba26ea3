"""What of a message in wire form a person can read. Pure; takes whatever servers and agents have put there."""

from __future__ import annotations

import json
from typing import Any


def text_of(content: Any) -> str:
    """Its words; parts that are no text by their type and size."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return as_json(content)


def said_in(message: Any) -> str:
    """The words of an assistant's message: its content, or why it refuses to answer."""
    return text_of(message.get("content")) or text_of(message.get("refusal"))


def call_of(call: Any) -> tuple[str, Any]:
    """Of a tool call its name and its arguments, as they came. A call without a function: `?`, and all of it."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "?", call
    return str(function.get("name", "?")), function.get("arguments", "")


def as_json(value: Any) -> str:
    """On one line; what JSON cannot hold as Python writes it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type', 'part')}, {len(as_json(part)):,} characters]"
    return str(part)
