"""How the simulated engine counts tokens: so many characters make one, and a marker stands for as many as it says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from concur_batch.sim.runs import Run
from concur_batch.task import Message

MOST_TOKENS = 10**9 - 1  # that one piece of content may stand for
PER_MESSAGE = 4  # what a chat template puts around each message

_OPENING = "<|tokens:"
_MARKER = re.compile(r"<\|tokens:(\d{1,9}):([^|]*)\|>")  # longer numbers are text


def marker(tokens: int, key: str) -> str:
    """A short text that counts as `tokens` tokens. Equal keys stand for equal text, so give each place its own, without `|`.

    A message with nothing else in its content counts exactly so many: role, template and tool calls are part of them, and of
    a conversation that opens with one, the offered tools, too.
    """
    return f"{_OPENING}{tokens}:{key.replace('|', '/')}|>"


class Tokenizer:
    """Conversations as runs of tokens.

    Args:
        chars_per_token: for text.
        template: count the template's own text, as ChatML of the Qwen models has it, instead of `PER_MESSAGE` per message:
            special tokens are one token each, the rest is text. Markers are then content like any other.
    """

    def __init__(self, chars_per_token: float = 4.0, *, template: bool = False) -> None:
        self._chars = chars_per_token
        self._template = template
        self._tools: tuple[list[dict[str, Any]] | None, list[Run]] = (None, [])  # the last list offered

    def prompt(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None) -> list[Run]:
        """A conversation as the model is given it."""
        if self._template:
            return self._chatml(messages, tools)
        found: list[Run] = []
        if tools and not (messages and _alone(messages[0].get("content")) is not None):
            found += self._offered(tools)
        for message in messages:
            content = message.get("content")
            alone = _alone(content)
            if alone is not None:
                found.append(alone)
                continue
            role = message["role"]
            if role == "assistant":  # its frame follows, so that the engine's own words are a prefix of what is sent back
                found += self._content(content, message.get("tool_calls") or ())
                found.append(Run("assistant", 0, PER_MESSAGE))
            else:
                found.append(Run(role, 0, PER_MESSAGE - 1))
                found += self._content(content, message.get("tool_calls") or ())
                found.append(Run("end", 0, 1))
        return found

    def reply(self, message: Message) -> list[Run]:
        """What the model generates so that this message results."""
        alone = None if self._template else _alone(message.get("content"))
        if alone is not None:
            return [alone]
        if self._template:
            return [*self.text(_said(message)), Run("<|im_end|>", 0, 1)]
        return self._content(message.get("content"), message.get("tool_calls") or ()) or [Run("end", 0, 1)]

    def text(self, text: str) -> list[Run]:
        """Any text, with or without markers."""
        if _OPENING not in text:
            return self._plain(text)
        found: list[Run] = []
        at = 0
        for match in _MARKER.finditer(text):
            found += self._plain(text[at : match.start()])
            found.append(Run(match[2], 0, int(match[1])))
            at = match.end()
        return found + self._plain(text[at:])

    def _plain(self, text: str) -> list[Run]:
        tokens = math.ceil(len(text) / self._chars)
        return [Run(text, 0, tokens, self._chars)] if tokens else []

    def _content(self, content: Any, calls: Iterable[dict[str, Any]]) -> list[Run]:
        """Content (text, list of parts, or none) and tool calls in wire form."""
        found: list[Run] = []
        if isinstance(content, str):
            found += self.text(content)
        elif content:
            for part in content:
                found += self.text(part.get("text") or "")
        for call in calls:
            function = call["function"]
            found += self.text(function["name"] + function["arguments"])
        return found

    def _offered(self, tools: list[dict[str, Any]]) -> list[Run]:
        known, runs = self._tools
        if tools is not known:
            runs = self.text(msgspec.json.encode(tools).decode())
            self._tools = tools, runs
        return runs

    # As Qwen's template renders it ------------------------------------------------------------------------------------

    def _chatml(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None) -> list[Run]:
        found: list[Run] = []
        rest = list(messages)
        if tools:
            # A field of SGLang's own, which its server adds to every tool (openai/protocol.py: Tool).
            tools = [{**tool, "defer_loading": tool.get("defer_loading")} for tool in tools]
            system = ""
            if rest and rest[0].get("role") == "system":
                system = _words(rest.pop(0).get("content")) + "\n\n"
            listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
            found += self._turn(f"system\n{system}# Tools\n<tools>{listed}\n</tools>\n")
        for message in rest:
            role = message["role"]
            if role == "tool":
                found += self._turn(f"user\n<tool_response>\n{_words(message.get('content'))}\n</tool_response>")
            elif role == "assistant":
                found += [Run("<|im_start|>", 0, 1), *self.text("assistant\n"), *self.text(_said(message))]
                found += [Run("<|im_end|>", 0, 1), *self.text("\n")]
            else:
                found += self._turn(f"{role}\n{_words(message.get('content'))}")
        return [*found, Run("<|im_start|>", 0, 1), *self.text("assistant\n")]

    def _turn(self, text: str) -> list[Run]:
        return [Run("<|im_start|>", 0, 1), *self.text(text), Run("<|im_end|>", 0, 1), *self.text("\n")]


def text_of(runs: Iterable[Run]) -> str:
    """Text that counts as these tokens do."""
    return "".join(run.text(run.start, run.stop) if run.chars else marker(len(run), run.content) for run in runs)


@lru_cache(maxsize=65_536)
def _marked(content: str) -> Run | None:
    match = _MARKER.fullmatch(content)
    return Run(match[2], 0, int(match[1])) if match else None


def _alone(content: Any) -> Run | None:
    """The run behind a content that is one marker and nothing else."""
    return _marked(content) if isinstance(content, str) and content.startswith(_OPENING) else None


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or ())


def _said(message: Message) -> str:
    """Content and tool calls of an assistant message as Qwen models write them."""
    text = _words(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        text += f'\n<tool_call>\n{{"name": "{function["name"]}", "arguments": {function["arguments"]}}}\n</tool_call>'
    return text
