"""A result row as a conversation for fine-tuning."""

from __future__ import annotations

from typing import Any

from concur_batch.results.rows import ResultRow
from concur_batch.results.spoken import call_of
from concur_batch.task import Message
from concur_batch.toolbox.base import FINISH_SPEC

_ENDED = "The task has ended."


def chat_line(row: ResultRow, tools: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """`messages`, and `tools` where they are known and there are any; None: the model said nothing in it.

    Chat templates want an answer to every tool call, and every tool that is called among the tools. A `finish` call, which ends the
    task and is run by nobody, gets both here.
    """
    if row.last_reply is None:
        return None
    messages = list(row.messages)
    if _answer_finish(messages) and tools is not None and not any(call_of(tool)[0] == FINISH_SPEC.name for tool in tools):
        tools = [*tools, FINISH_SPEC.schema()]
    return {"messages": messages} | ({"tools": tools} if tools else {})


def _answer_finish(messages: list[Message]) -> bool:
    """Put an answer behind each `finish` call of the last reply that has none; whether there was one."""
    last = max(at for at, message in enumerate(messages) if message.get("role") == "assistant")
    answered = [message.get("tool_call_id") for message in messages[last + 1 :]]  # of any type
    found = False
    calls = messages[last].get("tool_calls")
    for at, call in enumerate(calls if isinstance(calls, list) else (), last + 1):
        if call_of(call)[0] == FINISH_SPEC.name and call.get("id") not in answered:
            messages.insert(at, {"role": "tool", "tool_call_id": call.get("id"), "content": _ENDED})  # in the order of the calls
            found = True
    return found
