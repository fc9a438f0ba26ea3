"""Bounds on a reply that a server refuses: lowered to what fits, or, where nobody asked for them, left out."""

import asyncio
import json

import pytest
from chat_server import ChatServer, captured, in_turn, request, says

from concur_batch.engine.openai import OpenAIEngine
from concur_batch.errors import ConcurError, ContextLengthExceeded, EngineRefused

GOOD = says(captured("chat_warm.json"))
TGI = json.dumps(
    {"error": "`inputs` tokens + `max_new_tokens` must be <= 1000. Given: 100 `inputs` tokens and 950 `max_new_tokens`"}
)
WRONG = json.dumps({"error": "top_p must be in (0, 1]"})
TOO_LARGE = json.dumps(
    {"message": "max_completion_tokens is too large: 200000.This model supports at most 16384 completion tokens.", "code": 400}
)


def asked(*answers, most=950, field="max_tokens", **more):
    """What was asked for in each request, and the error that the call came to."""

    async def main():
        async with ChatServer(in_turn(*answers)) as server:
            engine, error = OpenAIEngine(server.url), None
            try:
                await engine.complete(request(sampling={field: most}, **more))
            except ConcurError as raised:
                error = type(raised)
            finally:
                await engine.aclose()
            return [body.get(field) for body in server.bodies], error

    return asyncio.run(main())


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_it_is_lowered_to_what_fits_once(field):
    too_long = says(captured("too_long_sum.json"), 400)
    assert asked(too_long, GOOD, most=12000, field=field) == ([12000, 6364], None)
    assert asked(too_long, too_long, GOOD, most=12000, field=field) == ([12000, 6364], ContextLengthExceeded)


def test_it_is_lowered_where_it_is_more_than_any_prompt_leaves():
    too_large, too_long = says(TOO_LARGE, 400), says(captured("too_long_sum.json"), 400)
    assert asked(too_large, GOOD, most=200_000) == ([200_000, 16384], None)
    assert asked(too_large, too_long, GOOD, most=200_000) == ([200_000, 16384, 6364], None)
    assert asked(too_large, too_long, too_long, GOOD, most=200_000) == ([200_000, 16384, 6364], ContextLengthExceeded)


def vllm(prompt, context=4096):
    """As vLLM checks: what is asked for before the prompt is counted, and that no further than need be."""

    async def answer(http):
        most = (await http.json()).get("max_tokens", 0)
        if most > context:
            told = f"max_tokens={most}cannot be greater than max_model_len=max_total_tokens={context}. Please request fewer."
        elif prompt > context - most:
            told = (
                f"You passed {context - most + 1} input tokens and requested {most} output tokens. However, the model's context "
                f"length is only {context} tokens, resulting in a maximum input length of {context - most} tokens."
            )
        else:
            return await GOOD(http)
        return await says(json.dumps({"error": {"message": told, "type": "BadRequestError", "code": 400}}), 400)(http)

    return answer


def test_it_is_halved_where_the_prompt_is_not_counted():
    assert asked(vllm(100), most=4050) == ([4050, 2024], None)
    assert asked(vllm(100), most=5000) == ([5000, 2047], None)
    assert asked(vllm(3500), most=4050) == ([4050, 2024, 1011, 504], None)
    assert asked(vllm(4096), most=4050) == ([4050, 2024, 1011, 504, 251], ContextLengthExceeded)


@pytest.mark.parametrize("most", [4050, 5000])
def test_a_bound_of_ours_is_not_halved_as_the_reply_may_go_further_without(most):
    assert asked(vllm(100), most=most, bound_is_ours=True) == ([most, None], None)


@pytest.mark.parametrize("status", [400, 422])
def test_a_bound_of_ours_is_left_out_where_it_is_refused(status):
    refusal = says(TGI, status)
    assert asked(refusal, GOOD, bound_is_ours=True) == ([950, None], None)
    assert asked(refusal, refusal, GOOD, bound_is_ours=True) == ([950, None], EngineRefused)
    assert asked(refusal, GOOD) == ([950], EngineRefused)


def test_it_is_lowered_where_the_server_says_what_fits():
    too_long = says(captured("too_long_sum.json"), 400)
    assert asked(too_long, GOOD, most=12000, bound_is_ours=True) == ([12000, 6364], None)


def test_it_stays_where_the_refusal_is_about_something_else():
    assert asked(says(WRONG, 400), GOOD, bound_is_ours=True) == ([950], EngineRefused)


def test_a_prompt_that_fits_no_more_is_told_as_ever():
    too_long = says(captured("too_long.json"), 400)
    assert asked(too_long, too_long, bound_is_ours=True) == ([950, None], ContextLengthExceeded)
