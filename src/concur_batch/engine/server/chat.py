"""/v1/chat/completions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.bodies import ChatBody, read
from concur_batch.engine.server.plan import Plan, plan_chat
from concur_batch.engine.server.problems import Fault, Problem
from concur_batch.engine.server.replying import DONE, as_json, event, while_connected
from concur_batch.engine.server.service import Service
from concur_batch.engine.server.steps import check_single, check_survived, streamed
from concur_batch.engine.server.usage import meta_info, metadata, sglext, usage
from concur_batch.engine.server.utterance import Utterance


async def chat_completions(request: Request) -> Response:
    """One reply, whole or as a stream."""
    service: Service = request.app.state.service
    if (await request.body()).lstrip().startswith(b"["):
        raise Fault  # while it looks for a field, before it is checked
    body = await read(request, ChatBody, json_only=True)
    check_single(body.n)
    plan = plan_chat(service, body)
    if body.stream:
        return await streamed(request, service.stream(plan.call), lambda tokens: _events(service, body, plan, tokens))
    await while_connected(request, service.generate(plan.call))
    check_survived(plan.call)
    return as_json(_completion(service, body, plan))


def _completion(service: Service, body: ChatBody, plan: Plan) -> dict[str, Any]:
    call = plan.call
    content = Utterance(call.output, plan.content).whole(call.generated, complete=plan.is_complete)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content if content or plan.has_content else None,
        "reasoning_content": None,
    }
    if plan.tool_calls and plan.is_complete:
        message["tool_calls"] = [{**tool, "index": place} for place, tool in enumerate(plan.tool_calls)]
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": plan.reason,
        "matched_stop": None,
    }
    if body.return_meta_info:
        choice["meta_info"] = meta_info(service, call, plan.reason)
    reply = {
        "id": call.rid,
        "object": "chat.completion",
        "created": int(service.wall()),
        "model": plan.model,
        "choices": [choice],
        "usage": usage(service, call),
        "metadata": metadata(call),
    }
    extension = sglext(call) if body.return_cached_tokens_details else None
    return reply | {"sglext": extension} if extension else reply


async def _events(service: Service, body: ChatBody, plan: Plan, tokens: AsyncIterator[int]) -> AsyncGenerator[bytes, None]:
    """Role, a chunk per token, tool calls, the end, usage where it is asked for."""
    call = plan.call
    opening = {"id": call.rid, "object": "chat.completion.chunk", "created": int(service.wall()), "model": plan.model}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        told = {"reasoning_content": None, **delta}
        choice = {"index": 0, "delta": told, "logprobs": None, "finish_reason": reason, "matched_stop": None}
        return event({**opening, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    utterance, told = Utterance(call.output, plan.content), 0
    async for generated in tokens:
        for count in range(told + 1, generated + 1):
            if text := utterance.more(count):
                yield chunk({"content": text})
        told = generated
    try:
        check_survived(call)
    except Problem as problem:
        yield event({"error": problem.body()})
        yield DONE
        return
    for count in range(told + 1, call.generated + 1):
        if text := utterance.more(count):
            yield chunk({"content": text})
    if rest := utterance.rest(call.generated, complete=plan.is_complete):
        yield chunk({"content": rest})
    if plan.is_complete:
        for delta in _tool_deltas(plan):
            yield chunk(delta)
    yield chunk({}, plan.reason)
    if body.return_cached_tokens_details and (extension := sglext(call)):
        yield event({**opening, "choices": [], "sglext": extension})
    if body.stream_options is not None and body.stream_options.include_usage:
        yield event({**opening, "choices": [], "usage": usage(service, call)})
    yield DONE


def _tool_deltas(plan: Plan) -> list[dict[str, Any]]:
    """Each call as its name, then its arguments, as a parser finds them."""

    def deltas(place: int, tool: dict[str, Any]) -> list[dict[str, Any]]:
        name, arguments = tool["function"]["name"], tool["function"]["arguments"]
        first = {"id": tool["id"], "index": place, "type": "function", "function": {"name": name, "arguments": ""}}
        second = {"id": None, "index": place, "type": "function", "function": {"name": None, "arguments": arguments}}
        return [{"tool_calls": [first]}, {"tool_calls": [second]}]

    return list(itertools.chain.from_iterable(deltas(place, tool) for place, tool in enumerate(plan.tool_calls)))
