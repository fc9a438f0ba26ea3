"""How the simulated engine counts tokens: so many characters make one, and a marker stands for as many as it says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from concur_batch.task import Message

PER_MESSAGE = 4  # what a chat template puts around each message

_OPENING = "<|tokens:"
_MARKER = re.compile(r"<\|tokens:(\d+):[^|]*\|>")


def marker(tokens: int, key: str) -> str:
    """A short text that counts as `tokens` tokens. Equal keys stand for equal text, so give each place its own, without `|`."""
    return f"{_OPENING}{tokens}:{key.replace('|', '/')}|>"


def count_text(text: str, chars_per_token: float = 4.0) -> int:
    """Tokens of a text, with or without markers."""
    if _OPENING not in text:
        return math.ceil(len(text) / chars_per_token)
    marked = sum(int(tokens) for tokens in _MARKER.findall(text))
    return marked + math.ceil(len(_MARKER.sub("", text)) / chars_per_token)


def count_message(message: Message, chars_per_token: float = 4.0) -> int:
    """Tokens of one message as a prompt holds it: content, tool calls and what the template adds."""
    return PER_MESSAGE + count_content(message.get("content"), message.get("tool_calls") or (), chars_per_token)


def count_content(content: Any, tool_calls: Iterable[dict[str, Any]], chars_per_token: float) -> int:
    """Tokens of content (text, list of parts, or none) and of tool calls in wire form."""
    tokens = 0
    if isinstance(content, str):
        tokens = count_text(content, chars_per_token)
    elif content:
        tokens = sum(count_text(part.get("text") or "", chars_per_token) for part in content)
    for call in tool_calls:
        function = call["function"]
        tokens += count_text(function["name"] + function["arguments"], chars_per_token)
    return tokens
