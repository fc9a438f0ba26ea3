"""Streams: a chunk per token, and the same message in all as a whole reply."""

import json

import pytest
from served import captured, chat, post, server, shape

from concur_batch.virtual import run_virtual


def streamed(body, **options):
    return run_virtual(post(server(**options), "/v1/chat/completions", body | {"stream": True}))


def said(events):
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])


def test_has_the_events_of_a_captured_stream():
    answer = streamed(chat(max_tokens=8, stream_options={"include_usage": True}))
    expected = [json.loads(line.removeprefix("data: ")) for line in captured("chat_stream.txt").split("\n\n")[:-1] if "{" in line]
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [shape(event) for event in answer.events] == [shape(event) for event in expected]


def test_every_token_comes_when_the_engine_has_it():
    answer = streamed(chat("x" * 96, max_tokens=4))
    times = [time for time, piece in answer.pieces if b'"content":"' in piece and b'"content":""' not in piece]
    assert times == pytest.approx([1.0, 2.0, 3.0, 4.0])


TURNS = (
    {"content": "Let me look.", "tool_calls": [{"name": "look", "arguments": {"at": 1}}, {"name": "more", "arguments": "{no"}]},
    {"tool_calls": [{"name": "look", "arguments": {}}]},
    {"tokens": 30},
    {"content": "Well."},
    {},
)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("chars", [1.0, 4.0])
def test_adds_up_to_the_whole_reply(turn, limit, template, chars):
    body = chat(max_tokens=limit, rid="t#0/2", concur_turn=turn)
    events = streamed(body, template=template, chars=chars).events
    whole = run_virtual(post(server(template=template, chars=chars), "/v1/chat/completions", body)).json["choices"][0]
    calls = {}
    for event in events:
        for piece in event["choices"][0]["delta"].get("tool_calls", ()):
            call = calls.setdefault(piece["index"], {"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
            call["arguments"] += piece["function"]["arguments"]
    expected = [{"id": call["id"], **call["function"]} for call in whole["message"].get("tool_calls", ())]
    assert said(events) == (whole["message"]["content"] or "")
    assert list(calls.values()) == expected
    assert events[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


def test_a_fast_engine_leaves_nothing_out():
    answer = streamed(chat(max_tokens=50, stream_options={"include_usage": True}), speed=1e6)
    assert answer.events[-1]["usage"]["completion_tokens"] == 50
    assert len(said(answer.events)) == 50


@pytest.mark.parametrize("body", [{"messages": []}, {"max_tokens": 16_384}, {"max_tokens": -1}])
def test_a_refusal_comes_with_its_status_not_in_the_stream(body):
    answer = streamed(chat() | body)
    assert answer.status == 400
    assert answer.json["code"] == 400


def test_a_prompt_for_which_there_is_no_room_is_refused_before_the_stream():
    answer = streamed(chat("x" * 20_000))
    assert (answer.status, answer.json["type"]) == (400, "BadRequestError")
