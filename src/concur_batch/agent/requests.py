"""The conversations of one rollout as its model calls show them: what is new in each call, what the engine has seen, its hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from concur_batch.engine.base import Reply
from concur_batch.errors import AgentError
from concur_batch.task import NOT_SAMPLING, UNASKED, Message, own

_encode = msgspec.json.Encoder().encode

_HEADS = 64  # conversations of one rollout that are remembered
_CALLS = 1024  # twice the calls that models have asked for, of which it is remembered what was offered


class Extension(NamedTuple):
    """How a request goes on from what was sent before; names as in `records.ReplyReceived`."""

    history_tokens: int  # 0 where only a part of a conversation stands: how many tokens that is, is not known
    after: int
    base: int
    new: list[int | Message]
    breaks: int  # as of what it goes on from


class _Head(NamedTuple):
    messages: list[Message]
    contents: list[Any]  # of these, as they were
    said: Message | None  # the last of them as it was received, where it is a reply
    seen_tokens: int  # so many of them the engine has seen
    number: int  # of its conversation
    breaks: int  # of the rollout's stride, by then


def check_asked(messages: object, sampling: dict[str, Any]) -> None:
    """Raises AgentError where this is no model call with one reply, read whole, or has numbers that cannot be sent."""
    if not isinstance(messages, list):
        raise AgentError(f"complete(messages): give a list of messages, not a {type(messages).__name__}")
    for key, nothing in UNASKED.items():
        if sampling.get(key) not in nothing:
            raise AgentError(f"complete({key}=...): does not belong here; {NOT_SAMPLING[key]}")
    for key, value in sampling.items():
        for number in _not_finite(value):
            raise AgentError(f"complete({key}=...): {number} is no JSON number; give another or leave it out")
    further = sampling.get("extra_body")
    if further is None:
        return
    if not isinstance(further, dict):
        raise AgentError(f"complete(extra_body=...): give an object, not a {type(further).__name__}")
    for key, value in further.items():
        if key in ("messages", "tools") or (key in UNASKED and value not in UNASKED[key]):
            raise AgentError(f"complete(extra_body=...): {key} does not belong here")


def _not_finite(value: object) -> Iterator[float]:
    """JSON has neither NaN nor infinity: they would be sent as null, and the server would sample as if nothing had been said."""
    if isinstance(value, float) and not math.isfinite(value):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _not_finite(item)


def merged(of_task: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """How to sample: what one call asks for over what the task does, with the fields of `extra_body` as any other."""
    if not asked:
        return of_task
    fields = {**of_task, **asked}
    fields.update(fields.pop("extra_body", None) or {})
    return fields


class Offers:
    """The names of the tools that a model may call: those that the call offered in whose reply it asks for them."""

    def __init__(self, names: frozenset[str]) -> None:
        self.newest = names
        """What the newest model call offers."""
        self._by_call: dict[int | str, tuple[frozenset[str], object]] = {}

    def answered(self, reply: Message, names: frozenset[str]) -> None:
        """A reply to a model call that offered these."""
        calls = reply.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                # By identity, too: servers count ids anew in every conversation. Holding the call keeps its identity its own.
                for key in (id(call), str(call.get("id"))):
                    self._by_call.pop(key, None)  # the newest comes last
                    self._by_call[key] = names, call
        while len(self._by_call) > _CALLS:
            del self._by_call[next(iter(self._by_call))]

    def of(self, call: dict[str, Any]) -> frozenset[str]:
        """What was offered where the model asked for this call; for one that it has not asked for, what was offered last."""
        found = self._by_call.get(id(call)) or self._by_call.get(str(call.get("id")))
        return self.newest if found is None else found[0]


class Conversation:
    """Messages are appended and hardly ever rewritten, so each is encoded once and known by identity from then on.

    What an agent makes of a reply before it sends it back is noticed, and another `content` in a message that was sent: such a
    message is told as a new one.
    """

    def __init__(self, prompt: Iterable[Message], breaks: int = 0) -> None:
        # The ends of the conversations an agent may go on from, newest last: 0 is the prompt, n what call n was sent and said.
        self._heads: dict[int, _Head] = {0: _Head(prompt := list(prompt), _contents(prompt), None, 0, 0, breaks)}
        self._numbers = 0
        # id(message) -> call number, the message itself to keep the id, and what was in it
        self._known: dict[int, tuple[int, Message, tuple[Any, ...]]] = {}
        self._digests: dict[int, tuple[bytes, Message]] = {}

    def know(self, message: Message, n: int) -> None:
        """This message is that of call `n`: the journal has it already."""
        self._known[id(message)] = n, message, tuple(message.values())

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

    def number(self, messages: list[Message]) -> int:
        """Of the conversation that this request is in, from 1: one goes on as long as most of what was sent before stands."""
        after, base = self._continued(messages)
        head = self._heads[after]
        if not head.number or (base < len(head.messages) and 2 * base <= len(messages)):
            self._numbers += 1
            return self._numbers
        return head.number

    def seen_tokens(self, messages: list[Message]) -> int:
        """So many tokens of this request the engine has counted: those of the conversation that it goes on from as a whole."""
        after, base = self._continued(messages)
        head = self._heads[after]
        return head.seen_tokens if base == len(head.messages) else 0

    def extend(self, messages: list[Message], reply: Reply, n: int, number: int = 0, breaks: int = 0) -> Extension:
        """Take the reply to call `n` in, which was made in conversation `number`. `breaks`: how often the rollout has lost its stride by now."""
        after, base = self._continued(messages)
        head = self._heads[after]
        contents = _contents(messages)
        stand = _unchanged(head, messages, contents, base)
        new = [self._told(message) for message in messages[stand:]]
        if after and base == len(head.messages):
            del self._heads[after]  # gone on from; whoever branches off there later shares what call n was sent
        self.know(reply.message, n)
        # A reply's reasoning is left out of the next prompt by chat templates, so the prefix ends before that reply.
        seen = reply.prompt_tokens + (0 if reply.reasoning_tokens else reply.completion_tokens)
        said = own(reply.message)
        contents.append(said.get("content"))
        self._heads[n] = _Head([*messages, reply.message], contents, said, seen, number, breaks)
        if len(self._heads) > _HEADS:
            del self._heads[next(key for key in self._heads if key)]
        if len(self._digests) > 4 * sum(len(head.messages) for head in self._heads.values()) + 64:
            self._forget()  # an agent that makes its messages anew for every call
        return Extension(head.seen_tokens if stand == len(head.messages) else 0, after, stand, new, head.breaks)

    def _told(self, message: Message) -> int | Message:
        """The number of the call whose message it is, if it is as it was; else the message."""
        known = self._known.get(id(message))
        if known is None:
            return message
        n, _, values = known
        head = self._heads.get(n)
        return n if (tuple(message.values()) == values if head is None else message == head.said) else message

    def _continued(self, messages: list[Message]) -> tuple[int, int]:
        """The call whose conversation this request goes on from, and how many of its messages stand."""
        newest = next(reversed(self._heads))
        best, most = 0, -1
        for n in (newest, *(key for key in self._heads if key != newest)):
            sent = self._heads[n].messages
            whole = messages[: len(sent)] == sent  # compares identities first: cheap for a history that only grew
            if whole:
                if n == newest:
                    return n, len(sent)
                common = len(sent)
            else:
                pairs = enumerate(zip(sent, messages, strict=False))
                common = next((i for i, (one, other) in pairs if one != other), min(len(sent), len(messages)))
            if common > most or (common == most and whole):
                best, most = n, common
        return best, most

    def _forget(self) -> None:
        ids = {id(message) for head in self._heads.values() for message in head.messages}
        self._digests = {key: value for key, value in self._digests.items() if key in ids}
        self._known = {key: value for key, value in self._known.items() if key in ids}


def _contents(messages: list[Message]) -> list[Any]:
    return [message.get("content") for message in messages]


def _unchanged(head: _Head, messages: list[Message], contents: list[Any], base: int) -> int:
    """How many of the first `base`, which are the same messages, are as they were, too."""
    if base and base == len(head.messages) and head.said is not None and messages[base - 1] != head.said:
        base -= 1
    if contents[:base] == head.contents[:base]:
        return base
    return next(i for i, (one, was) in enumerate(zip(contents, head.contents, strict=False)) if one != was)


def hash_call(name: str, arguments: str | dict[str, Any]) -> str:
    """16 hex digits over a tool call."""
    text = arguments.encode() if isinstance(arguments, str) else _encode(arguments)
    return hashlib.blake2b(name.encode() + b"\0" + text, digest_size=8).hexdigest()
