"""/generate, SGLang's own way. Prompts and replies as text or as token ids."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.bodies import GenerateBody, read
from concur_batch.engine.server.completions import tokens_of
from concur_batch.engine.server.filler import ids_of, run_of_ids
from concur_batch.engine.server.plan import Plan, plan_filler
from concur_batch.engine.server.problems import NativeProblem, Problem
from concur_batch.engine.server.replying import DONE, EventStream, as_json, event, refusal, while_connected
from concur_batch.engine.server.service import Said, Service
from concur_batch.engine.server.steps import check_single, check_survived, opened
from concur_batch.engine.server.usage import meta_info
from concur_batch.engine.server.utterance import Utterance
from concur_batch.sim.runs import Run, length


async def generate(request: Request) -> Response:
    """One reply, whole or as a stream. Always filler."""
    service: Service = request.app.state.service
    body = await read(request, GenerateBody)
    try:
        return await _generate(request, service, body)
    except Problem as problem:
        if problem.kind != "BadRequestError":
            raise
        if body.stream:  # has begun before anything was looked at
            return EventStream(refusal(_streamed(problem)))
        raise NativeProblem(problem.message, problem.status) from None


def _streamed(problem: Problem) -> dict[str, Any]:
    return {"message": problem.message, "type": "invalid_request_error", "code": problem.status, "retryable": False}


async def _generate(request: Request, service: Service, body: GenerateBody) -> Response:
    sampling = body.sampling_params
    check_single(sampling.n)
    if body.session_id is not None and body.session_params is not None:
        raise Problem("session_id and session_params cannot both be set.")
    prompt = _history(service, body) + _prompt(service, body)
    plan = plan_filler(service, body, prompt, sampling.max_new_tokens, ignore_eos=sampling.ignore_eos)
    call, chars = plan.call, service.chars_per_token
    ids = ids_of(plan.content, length(service.tokenizer.text(plan.content)), chars)
    if body.input_ids is not None:  # who sends ids sends them back as ids
        call.output = [run_of_ids(ids), *(run for run in call.output if not run.chars)]
    if body.session_params is not None:
        call.session = body.session_params.id
    if body.stream:
        tokens = await while_connected(request, opened(service.stream(call)))
        return EventStream(_events(service, body, plan, ids, tokens), tokens)
    await while_connected(request, service.generate(call))
    check_survived(call)
    _remember(service, body, plan)
    return as_json(_said(service, plan, ids, call.generated, plan.reason))


def _prompt(service: Service, body: GenerateBody) -> list[Run]:
    if body.input_ids is not None:
        prompt = tokens_of(body.input_ids)
    elif body.text is not None:
        prompt = service.tokenizer.text(body.text)
    else:
        raise Problem("Either text, input_ids or input_embeds should be provided.")
    if not length(prompt) and body.session_params is None:
        raise Problem("texts cannot be empty and tokenizer must be initialized")
    return prompt


def _history(service: Service, body: GenerateBody) -> list[Run]:
    """What the session has said up to the request that is named; without a name this one begins anew (session_controller.py)."""
    params = body.session_params
    if params is None:
        return []
    said = service.sessions.get(params.id)
    if said is None:
        raise Problem(f"Invalid request: session id {params.id} does not exist")
    if params.rid is None:
        return []
    found = next((one.tokens for one in said if one.rid == params.rid), None)
    if found is None:
        raise Problem("Invalid request session id")
    return found


def _remember(service: Service, body: GenerateBody, plan: Plan) -> None:
    params = body.session_params
    if params is not None and params.id in service.sessions and plan.reason != "abort":
        service.sessions[params.id].append(Said(plan.call.rid, list(plan.call.sequence())))


def _said(service: Service, plan: Plan, ids: list[int], tokens: int, reason: str | None) -> dict[str, Any]:
    """Text and ids up to here."""
    text = Utterance(service.tokenizer.text(plan.content), plan.content).more(tokens)
    return {"text": text, "output_ids": ids[:tokens], "meta_info": meta_info(service, plan.call, reason)}


async def _events(
    service: Service, body: GenerateBody, plan: Plan, ids: list[int], tokens: AsyncIterator[int]
) -> AsyncGenerator[bytes, None]:
    """A chunk per token, each with all that has been said so far; the last one has the reason."""
    call, told = plan.call, 0

    def chunk(count: int) -> bytes:
        said = _said(service, plan, ids, count, None)
        said["meta_info"]["completion_tokens"] = count
        return event(said)

    async for generated in tokens:
        last = call.finish_reason is not None  # goes with the reason
        for count in range(told + 1, generated if last else generated + 1):
            yield chunk(count)
            told = count
    try:
        check_survived(call)
    except Problem as problem:
        yield event({"error": _streamed(problem)})
        yield DONE
        return
    for count in range(told + 1, call.generated):
        yield chunk(count)
    _remember(service, body, plan)
    yield event(_said(service, plan, ids, call.generated, plan.reason))
    yield DONE
