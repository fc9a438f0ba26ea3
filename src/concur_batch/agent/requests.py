"""The conversation of one rollout as its model calls show it: what is new in each, what the engine has seen, its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from concur_batch.engine.base import Reply
from concur_batch.task import Message

_encode = msgspec.json.Encoder().encode


class Conversation:
    """Messages are appended and never rewritten, so each is encoded once and known by identity from then on."""

    def __init__(self, prompt: Iterable[Message]) -> None:
        self._sent: list[Message] = list(prompt)  # of the last request, then its reply; before the first, the prompt
        self._known: dict[int, tuple[int, Message]] = {}  # id(message) -> call number, and the message itself to keep the id
        self._digests: dict[int, tuple[bytes, Message]] = {}
        self._seen_tokens = 0  # prompt + reply of the last call: what the engine holds of `_sent`

    def know(self, message: Message, n: int) -> None:
        """This message is that of call `n`: the journal has it already."""
        self._known[id(message)] = n, message

    def hash(self, messages: list[Message], tools: Iterable[str | dict[str, Any]] | None, sampling: dict[str, Any]) -> str:
        """16 hex digits over what the agent asked for."""
        digests = self._digests
        joined = bytearray()
        for message in messages:
            known = digests.get(id(message))
            if known is None:
                known = hashlib.blake2b(_encode(message), digest_size=16).digest(), message
                digests[id(message)] = known
            joined += known[0]
        if tools is not None or sampling:
            joined += _encode([list(tools) if tools is not None else None, sampling])
        return hashlib.blake2b(joined, digest_size=8).hexdigest()

    def extend(self, messages: list[Message], reply: Reply, n: int) -> tuple[int, int, list[int | Message]]:
        """Take a reply in. Returns (history_tokens, base, new) of its request, as in `records.ReplyReceived`."""
        sent = self._sent
        base = len(sent)
        if messages[:base] == sent:  # compares identities first: cheap for a history that only grew
            history = self._seen_tokens
        else:
            base = next(
                (i for i, (one, other) in enumerate(zip(sent, messages, strict=False)) if one != other),
                min(len(sent), len(messages)),
            )
            history = 0  # another conversation: how much of it the engine has seen is not known
        new: list[int | Message] = []
        for message in messages[base:]:
            known = self._known.get(id(message))
            new.append(message if known is None else known[0])
        self.know(reply.message, n)
        # A reply's reasoning is left out of the next prompt by chat templates, so the prefix ends before that reply.
        self._seen_tokens = reply.prompt_tokens + (0 if reply.reasoning_tokens else reply.completion_tokens)
        self._sent = [*messages, reply.message]
        if len(self._digests) > 4 * len(self._sent) + 64:  # an agent that makes its messages anew for every call
            self._forget()
        return history, base, new

    def _forget(self) -> None:
        ids = {id(message) for message in self._sent}
        self._digests = {key: value for key, value in self._digests.items() if key in ids}
        self._known = {key: value for key, value in self._known.items() if key in ids}


def hash_call(name: str, arguments: str | dict[str, Any]) -> str:
    """16 hex digits over a tool call."""
    text = arguments.encode() if isinstance(arguments, str) else _encode(arguments)
    return hashlib.blake2b(name.encode() + b"\0" + text, digest_size=8).hexdigest()
