"""What a server says when it will not take what we send beside the conversation itself. Pure.

The help that SGLang has for agents: session ids, priorities. And what replies had besides their words: reasoning, refusals, further fields of
tool calls. Some servers want these back with the next prompt; others refuse what they themselves have sent.

SGLang tells in /server_info whether it has them. It may refuse all the same: a router in front of several servers, another
release that wants a session opened first, one that aborts requests with a priority where it heeds none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from concur_batch.engine.faults import message_of_refusal
from concur_batch.task import Message

_BESIDES = ("reasoning", "reasoning_content", "refusal")  # fields of messages
_OF_CALLS = {"id", "type", "function"}
_NAMED = {"session_id": re.compile(r"session", re.IGNORECASE), "priority": re.compile(r"priority", re.IGNORECASE)}
# Comes with 503, as a full queue does: "The request is aborted by a higher priority request" is no refusal.
_WITHOUT_PRIORITY = re.compile(r"priority is disabled|without a priority", re.IGNORECASE)
_ABOUT_OTHER_THINGS = {401, 403, 408, 429}


def refused_fields(status: int, answer: bytes, body: Mapping[str, Any]) -> list[str]:
    """The fields of the request's `body`, and of its messages, that this answer is about; a guess, to be tried by a call without them."""
    if status == 503:
        return ["priority"] if "priority" in body and _WITHOUT_PRIORITY.search(message_of_refusal(answer)) else []
    if not 400 <= status < 500 or status in _ABOUT_OTHER_THINGS:
        return []
    sent = {field: pattern for field, pattern in _NAMED.items() if field in body}
    sent |= {field: re.compile(rf"\b{re.escape(field)}\b") for field in sorted(_said_besides(body.get("messages", ())))}
    if not sent:
        return []
    told = message_of_refusal(answer)
    return [field for field, pattern in sent.items() if pattern.search(told)]


def plainer(body: dict[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """This request without these."""
    body = {field: value for field, value in body.items() if field not in fields or field not in _NAMED}
    if not _said_besides(body["messages"]).isdisjoint(fields):
        body["messages"] = [_bare(message, fields) for message in body["messages"]]
    return body


def _said_besides(messages: Iterable[Message]) -> set[str]:
    found: set[str] = set()
    for message in messages:
        if message.get("role") == "assistant":
            found.update(field for field in _BESIDES if field in message)
            for call in _calls(message):
                found.update(call.keys() - _OF_CALLS)
    return found


def _bare(message: Message, fields: Collection[str]) -> Message:
    if message.get("role") != "assistant":
        return message
    bare = {field: value for field, value in message.items() if field not in fields or field not in _BESIDES}
    if "tool_calls" in message:
        bare["tool_calls"] = [
            {key: call[key] for key in call if key in _OF_CALLS or key not in fields} for call in _calls(message)
        ]
    return bare


def _calls(message: Message) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
