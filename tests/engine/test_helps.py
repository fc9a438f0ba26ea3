"""A server that says it has SGLang's help for agents, and refuses it."""

import asyncio
import json
import logging

import pytest
from aiohttp import web
from chat_server import ChatServer, captured, request, says, sglang_routes

from concur_batch.engine.helps import refused_fields
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused

# Two of SGLang 0.5.23 (managers/scheduler.py), one of what stands in front of it.
NO_PRIORITY = "Using priority is disabled for this server. Please send a new request without a priority."
NO_SESSION = "Invalid request: session id t#0 does not exist"
NEITHER = "Extra inputs are not permitted: session_id, priority"
OVERTAKEN = "The request is aborted by a higher priority request."
GOOD = captured("chat_warm.json")


def told(message):
    return json.dumps({"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400})


def refuses(status, message, *fields):
    """A chat handler that will not take these fields."""

    async def handler(http):
        body = json.loads(await http.read())
        good = not any(field in body for field in fields)
        return web.Response(text=GOOD if good else told(message), status=200 if good else status, content_type="application/json")

    return handler


def with_engine(chat, story):
    async def main():
        routes = sglang_routes(enable_session_radix_cache=True, enable_priority_scheduling=True)
        async with ChatServer(chat, routes) as server:
            engine = OpenAIEngine(server.url)
            await engine.probe()
            try:
                return await story(engine, server)
            finally:
                await engine.aclose()

    return asyncio.run(main())


def sent(server):
    return [body.keys() & {"session_id", "priority"} for body in server.bodies]


def asked(**fields):
    return request(session_id="t#0", priority=3, **fields)


@pytest.mark.parametrize(
    ("status", "message", "fields"),
    [
        (503, NO_PRIORITY, {"priority"}),
        (400, NO_SESSION, {"session_id"}),
        (422, NEITHER, {"session_id", "priority"}),
    ],
)
def test_what_is_refused_is_left_out_from_then_on(status, message, fields, caplog):
    async def story(engine, server):
        with caplog.at_level(logging.WARNING):
            replies = [await engine.complete(asked()) for _ in range(3)]
            await engine.probe()  # it still says that it has them
            replies.append(await engine.complete(asked()))
            await engine.close_session("t#0")
        return len(replies), sent(server), engine.capabilities, server.told

    done, bodies, can, closed = with_engine(refuses(status, message, *fields), story)
    both = {"session_id", "priority"}
    assert (done, bodies) == (4, [both] + [both - fields] * 4)
    assert {name for name, on in (("session_id", can.session_close), ("priority", can.priority)) if on} == both - fields
    assert set(can.refused) == fields
    assert bool(closed) == ("session_id" not in fields)
    assert len([line for line in caplog.messages if "left out from now on" in line]) == 1


def test_calls_in_flight_when_the_first_is_refused_lose_nothing(caplog):
    async def story(engine, server):
        with caplog.at_level(logging.WARNING):
            replies = await asyncio.gather(*(engine.complete(asked(step=n)) for n in range(1, 9)))
        return len(replies), len(server.bodies)

    assert with_engine(refuses(503, NO_PRIORITY, "priority"), story) == (8, 16)
    assert len(caplog.messages) == 1


def test_a_refusal_that_only_mentions_them_costs_one_call_and_no_help():
    """Validation errors quote the body that they are about."""

    async def chat(http):
        message = f"temperature: must be a number; input: {await http.text()}"
        return web.Response(text=told(message), status=400, content_type="application/json")

    async def story(engine, server):
        for _ in range(2):
            with pytest.raises(EngineRefused, match="temperature"):
                await engine.complete(asked())
        return sent(server), engine.capabilities.refused, engine.capabilities.session_close

    both = {"session_id", "priority"}
    assert with_engine(chat, story) == ([both, set(), both, set()], (), True)


def test_a_refusal_for_another_reason_after_it_is_seen():
    async def chat(http):
        message = NO_SESSION if "session_id" in json.loads(await http.read()) else "maximum context length is 5 tokens"
        return web.Response(text=told(message), status=400, content_type="application/json")

    async def story(engine, _):
        with pytest.raises(ContextLengthExceeded):
            await engine.complete(asked())

    with_engine(chat, story)


def test_being_overtaken_in_a_full_queue_is_no_refusal():
    async def story(engine, server):
        with pytest.raises(EngineBusy):
            await engine.complete(asked())
        return len(server.bodies), engine.capabilities.refused

    assert with_engine(says(told(OVERTAKEN), 503), story) == (1, ())


SAID = {"role": "assistant", "content": "Hm.", "reasoning": "I think", "reasoning_content": "so"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "signature": "s"}],
}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("'messages.1' : property 'reasoning' is unsupported", "reasoning"),
        ("messages.2.tool_calls.0: signature: unknown", "signature"),
    ],
)
def test_a_server_that_refuses_what_it_has_sent_is_not_sent_it_again(message, field):
    async def chat(http):
        good = f'"{field}"' not in await http.text()
        return web.Response(text=GOOD if good else told(message), status=200 if good else 400, content_type="application/json")

    history = [{"role": "user", "content": f'say "{field}"'.replace('"', "")}, SAID, CALLED]

    async def story(engine, server):
        for _ in range(2):
            await engine.complete(request(messages=history))
        return [body["messages"] for body in server.bodies], engine.capabilities.refused

    (first, *bare), refused = with_engine(chat, story)
    assert (first, refused) == (history, (field,))
    assert len(bare) == 2
    without = json.loads(json.dumps(history))
    del (without[1] if field == "reasoning" else without[2]["tool_calls"][0])[field]
    assert bare == [without, without]


@pytest.mark.parametrize("status", [200, 401, 429, 500])
def test_other_answers_name_nothing(status):
    assert refused_fields(status, told(NEITHER).encode(), {"session_id": "a", "priority": 1}) == []


def test_only_fields_that_were_sent_can_be_refused():
    assert refused_fields(400, told(NEITHER).encode(), {"priority": 1}) == ["priority"]
    assert refused_fields(400, told(NEITHER).encode(), {"temperature": 1}) == []
