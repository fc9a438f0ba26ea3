"""/v1/chat/completions: the same fields as the captured replies, and the same messages as the engine in process."""

import asyncio

import pytest
from served import ROUND, captured, chat, post, server, shape

from concur_batch.engine.base import Request
from concur_batch.engine.server.bodies import Turn
from concur_batch.engine.server.plan import place_of
from concur_batch.engine.sim import SimEngine
from concur_batch.engine.wire import read_reply, turn_fields
from concur_batch.sim.core import EngineCore
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.tokens import Tokenizer
from concur_batch.task import ScriptedTurn
from concur_batch.virtual import run_virtual


def asked(app, *bodies):
    async def story():
        return [(await post(app, "/v1/chat/completions", body)) for body in bodies]

    return run_virtual(story())


def test_has_the_fields_of_a_captured_reply():
    (reply,) = asked(server(), chat(max_tokens=24, ignore_eos=True))
    assert reply.status == 200
    assert shape(reply.json) == shape(captured("chat_cold.json"))
    assert list(reply.json) == list(captured("chat_cold.json"))


def test_tells_meta_info_and_cached_details_where_they_are_asked_for():
    body = chat("x" * 50, max_tokens=8, return_meta_info=True, return_cached_tokens_details=True)
    _, reply = asked(server(), body | {"rid": "first"}, body | {"rid": "my-rid-1"})
    assert reply.json["id"] == "my-rid-1"
    assert shape(reply.json) == shape(captured("chat_meta.json"))
    meta = reply.json["choices"][0]["meta_info"]
    prompt = reply.json["usage"]["prompt_tokens"]
    assert meta["cached_tokens_details"] == {"device": prompt - 1, "host": 0}
    assert meta["e2e_latency"] == pytest.approx(0.01 + 7)  # one computed token, and seven decode steps of a second
    assert meta["decode_throughput"] == pytest.approx(1.0)


def test_no_rate_is_told_where_steps_are_too_short_for_the_clock():
    app = server(cost=FittedCost(prefill_per_token_s=0.01, decode_fixed_s=1e-300))
    (reply,) = asked(app, chat(max_tokens=8, ignore_eos=True, return_meta_info=True))
    assert reply.status == 200
    meta = reply.json["choices"][0]["meta_info"]
    assert (meta["completion_tokens"], "decode_throughput" in meta) == (8, False)


def test_durations_are_engine_seconds_at_any_speed():
    async def story():
        started = asyncio.get_running_loop().time()
        body = chat("x" * 50, max_tokens=8, return_meta_info=True)
        reply = await post(server(speed=100.0), "/v1/chat/completions", body)
        meta = reply.json["choices"][0]["meta_info"]
        return asyncio.get_running_loop().time() - started, meta

    wall, meta = run_virtual(story())
    assert meta["e2e_latency"] == pytest.approx(wall * 100)
    assert meta["request_finished_ts"] - meta["request_received_ts"] == pytest.approx(wall * 100)


def test_filler_has_the_asked_length_and_is_marked_as_such():
    app = server(chars=4.0)
    first, again, other, long = asked(
        app, chat(max_tokens=20), chat(max_tokens=20), chat("Something else.", max_tokens=20), chat("As you like.")
    )
    assert first.json["model"] == "tiny (simulated filler)"
    assert first.json["usage"]["completion_tokens"] == 20
    assert len(first.json["choices"][0]["message"]["content"]) == 80
    assert first.json["choices"][0]["finish_reason"] == "length"
    assert first.json["choices"][0]["message"] == again.json["choices"][0]["message"]
    assert first.json["choices"][0]["message"] != other.json["choices"][0]["message"]
    assert long.json["choices"][0]["finish_reason"] == "stop"
    assert 100 <= long.json["usage"]["completion_tokens"] < 500


@pytest.mark.parametrize("chars", [1.0, 3.3, 4.0])
@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("limit", [None, 37])
def test_the_next_turn_finds_prompt_and_filler_in_the_cache(chars, template, limit):
    app = server(chars=chars, template=template)

    async def story():
        body = chat("Tell me about it. " * 8, max_tokens=limit)
        first = (await post(app, "/v1/chat/completions", body)).json
        messages = [*body["messages"], first["choices"][0]["message"], {"role": "user", "content": "Go on."}]
        second = (await post(app, "/v1/chat/completions", body | {"messages": messages})).json
        return first["usage"], second["usage"]["prompt_tokens_details"]["cached_tokens"]

    usage, cached = run_virtual(story())
    assert cached >= usage["total_tokens"] - 1  # the last token's KV is never computed


TURNS = (
    ScriptedTurn(content="Well."),
    ScriptedTurn(
        content="Let me look.", tool_calls=({"name": "look", "arguments": {"at": 1}}, {"name": "odd", "arguments": "{no"})
    ),
    ScriptedTurn(tool_calls=({"name": "look", "arguments": {}},)),
    ScriptedTurn(tokens=120),
    ScriptedTurn(content="Cut", finish_reason="length"),
    ScriptedTurn(),
)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("sampling", [{}, {"max_tokens": 6}])
def test_answers_a_turn_as_the_engine_in_process_does(turn, template, sampling):
    said = [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}]
    messages = [{"role": "user", "content": "Go on."}, *said, *said]
    request = Request(rollout="t#0", step=3, request_id="t#0/3", model="tiny", messages=messages, sampling=sampling, turn=turn)
    body = {"model": "tiny", "messages": messages, "rid": "0badcafe-17-t#0/5~1", "concur_turn": turn_fields(turn), **sampling}
    options = ServerOptions(capacity_tokens=20_000, context_length=16_384)

    async def story():
        engine = SimEngine(EngineCore(options, ROUND), model="tiny", tokenizer=Tokenizer(1.0, template=template))
        reply = await post(server(template=template), "/v1/chat/completions", body)
        return await engine.complete(request), read_reply(reply.text.encode(), "t#0/3")

    in_process, over_http = run_virtual(story())
    assert over_http == in_process


@pytest.mark.parametrize(
    ("rid", "turn", "place"),
    [
        ("0badcafe-17-t#0/3", Turn(), ("t#0", 2)),
        ("0badcafe-17-a/b-c#1/12~2", Turn(), ("a/b-c#1", 2)),
        ("0badcafe-17-a/b-c#1/12+2~1", Turn(), ("a/b-c#1", 2)),
        ("t#0/3", Turn(), ("t#0", 2)),
        ("mine", Turn(), ("mine", 2)),
        ("0badcafe-17-t#0/4", Turn(step=3), ("t#0", 3)),
        (None, Turn(rollout="r", step=9), ("r", 9)),
    ],
)
def test_finds_rollout_and_step(rid, turn, place):
    messages = [{"role": "user"}, {"role": "assistant"}, {"role": "user"}]
    assert place_of(turn, rid, messages, [])[1:] == place


def test_renders_tool_history_and_parts():
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "run", "arguments": {"cmd": "ls"}}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "a.txt"},
    ]
    tools = [{"type": "function", "function": {"name": "run"}}]
    (reply,) = asked(server(), {"model": "tiny", "messages": messages, "tools": tools, "max_tokens": 4})
    assert reply.status == 200


def test_an_unknown_model_is_served_and_cached_tokens_may_be_kept_back():
    (reply,) = asked(server(report=False), chat(max_tokens=1) | {"model": "nope"})
    assert reply.json["model"].startswith("nope")
    assert reply.json["usage"]["prompt_tokens_details"] is None
