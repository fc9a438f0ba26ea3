"""/v1/completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.bodies import CompletionBody, malformed, read
from concur_batch.engine.server.filler import run_of_ids
from concur_batch.engine.server.plan import Plan, plan_filler
from concur_batch.engine.server.problems import Problem
from concur_batch.engine.server.replying import DONE, as_json, event, while_connected
from concur_batch.engine.server.service import Service
from concur_batch.engine.server.steps import check_single, check_survived, streamed
from concur_batch.engine.server.usage import metadata, sglext, usage
from concur_batch.engine.server.utterance import Utterance
from concur_batch.sim.runs import Run

_MAX_ID = 0x10FFFF  # ids are kept as characters


async def completions(request: Request) -> Response:
    """One reply, whole or as a stream. Always filler: there are no turns here."""
    service: Service = request.app.state.service
    body = await read(request, CompletionBody, json_only=True)
    check_single(body.n)
    if body.max_tokens is not None and body.max_tokens <= 0:
        raise malformed("('body', 'max_tokens'): Value error, max_tokens must be positive")
    prompt, echo = _prompt(service, body.prompt)
    plan = plan_filler(service, body, prompt, body.max_tokens, ignore_eos=body.ignore_eos)
    echo = echo if body.echo else ""
    if body.stream:
        return await streamed(request, service.stream(plan.call), lambda tokens: _events(service, body, plan, tokens, echo))
    await while_connected(request, service.generate(plan.call))
    check_survived(plan.call)
    call = plan.call
    text = echo + Utterance(call.output, plan.content).whole(call.generated, complete=plan.is_complete)
    reply = {
        "id": call.rid,
        "object": "text_completion",
        "created": int(service.wall()),
        "model": plan.model,
        "choices": [_choice(text, plan.reason)],
        "usage": usage(service, call),
        "metadata": metadata(call),
    }
    extension = sglext(call) if body.return_cached_tokens_details else None
    return as_json(reply | {"sglext": extension} if extension else reply)


def tokens_of(ids: list[Any]) -> list[Run]:
    """Token ids as the engine is given them. Raises Problem where they are none."""
    if not all(isinstance(token, int) and 0 <= token <= _MAX_ID for token in ids):
        raise malformed(f"('body', 'input_ids'): Input should be a list of token ids from 0 to {_MAX_ID}")
    return [run_of_ids(ids)]


def _prompt(service: Service, given: str | list[Any]) -> tuple[list[Run], str]:
    """Its tokens, and its text."""
    prompt = given
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], (str, list)):
        if len(prompt) > 1:
            raise Problem(f"the simulated server takes one prompt per request, got {len(prompt)}.")
        prompt = prompt[0]
    if not prompt:
        raise Problem("Prompt cannot be empty")
    if isinstance(prompt, str):
        return service.tokenizer.text(prompt), prompt
    return tokens_of(prompt), ""


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "matched_stop": None}


async def _events(
    service: Service, body: CompletionBody, plan: Plan, tokens: AsyncIterator[int], echo: str
) -> AsyncGenerator[bytes, None]:
    """A chunk per token, the last one with the reason, and usage where it is asked for."""
    call = plan.call
    opening = {"id": call.rid, "object": "text_completion", "created": int(service.wall()), "model": plan.model}
    utterance, told = Utterance(call.output, plan.content), 0
    if echo:
        yield event({**opening, "choices": [_choice(echo, None)]})
    async for generated in tokens:
        last = call.finish_reason is not None  # goes with the reason
        for count in range(told + 1, generated if last else generated + 1):
            yield event({**opening, "choices": [_choice(utterance.more(count), None)]})
            told = count
    try:
        check_survived(call)
    except Problem as problem:
        yield event({"error": problem.body()})
        yield DONE
        return
    for count in range(told + 1, call.generated):
        yield event({**opening, "choices": [_choice(utterance.more(count), None)]})
    rest = utterance.rest(call.generated, complete=plan.is_complete)
    yield event({**opening, "choices": [_choice(rest, plan.reason)]})
    if body.return_cached_tokens_details and (extension := sglext(call)):
        yield event({**opening, "choices": [], "sglext": extension})
    if body.stream_options is not None and body.stream_options.include_usage:
        yield event({**opening, "choices": [], "usage": {k: v for k, v in usage(service, call).items() if v is not None}})
    yield DONE
