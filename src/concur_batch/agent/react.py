"""The built-in agent: plan (model call) -> tool (all calls of a turn at once) -> observe (append in call order)."""

from __future__ import annotations

import json
import re
from typing import Any

from concur_batch.agent.context import Context
from concur_batch.broken_json import repaired
from concur_batch.task import Message, Task
from concur_batch.toolbox.base import FINISH_SPEC

FINISH = FINISH_SPEC.name
PLAN = "Before you act, write a short plan: the steps you will take, and how you will know that you are done."
GO = "Carry out the plan."
_OBJECT = re.compile(r"\s*(?:```\w*\s*)?\{")  # text that begins as one, be it in a code fence
_ANSWER = re.compile(r"""(["'])answer\1\s*:|\{\s*answer\s*:""")


async def react(task: Task, ctx: Context) -> str | None:  # noqa: ARG001 - every agent gets its task
    """Until an answer without tool calls, or a `finish` call. Returns the answer's text, or that of a refusal."""
    messages = ctx.prompt
    if ctx.plan_first:
        await _plan(messages, ctx)
    while True:
        reply = await ctx.complete(messages)
        messages.append(reply.message)
        calls = reply.message.get("tool_calls")
        if not calls:
            text = _text(reply.message.get("content"))
            return text or reply.message.get("refusal") or text
        answer = _finish(calls, reply.message)
        others = [call for call in calls if answer is None or call["function"]["name"] != FINISH]
        if others:
            messages.extend(observation.message for observation in await ctx.call_all(others))
        if answer is not None:
            return answer


def _text(content: str | list[Any] | None) -> str | None:
    """The text of an answer; some servers send it in parts."""
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


async def _plan(messages: list[Message], ctx: Context) -> None:
    messages.append({"role": "user", "content": PLAN})
    reply = await ctx.complete(messages, tools=())
    # Calls made in spite of being offered none are left out: nobody will answer them.
    messages.append(
        {"role": "assistant", "content": reply.message.get("content") or ""} if "tool_calls" in reply.message else reply.message
    )
    messages.append({"role": "user", "content": GO})


def _finish(calls: list[dict[str, Any]], message: Message) -> str | None:
    """The answer of a `finish` call among these; without one in it, the text beside it. None: there is no such call."""
    call = next((call for call in calls if call["function"]["name"] == FINISH), None)
    if call is None:
        return None
    answer = _answer(call["function"]["arguments"] or "")
    return answer if answer is not None else _text(message.get("content")) or ""


def _answer(text: str) -> str | None:
    """In the arguments of a `finish` call, broken JSON repaired; text that is no JSON object is itself the answer."""
    try:
        arguments = json.loads(text or "null")
        broken = isinstance(arguments, str)  # it may hold an object
    except (ValueError, RecursionError):
        arguments = text
        # Text that only has an object within it, or that has two answers, would be cut down to one.
        broken = _OBJECT.match(text) is not None and len(_ANSWER.findall(text)) < 2
    if arguments is None:
        return None
    if not isinstance(arguments, dict):
        arguments = (repaired(text) if broken else None) or {}
        if "answer" not in arguments:
            return text
    answer = arguments.get("answer")
    return answer if answer is None or isinstance(answer, str) else _json(answer)


def _json(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        return json.dumps(value)
    return written
