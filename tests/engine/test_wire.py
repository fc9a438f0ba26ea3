import json

import pytest
from chat_server import DEEP, LATIN, captured, request

from concur_batch.engine.base import Capabilities
from concur_batch.engine.wire import chat_body, read_reply, wrong_field
from concur_batch.task import ScriptedTurn

TURN = ScriptedTurn(tool_calls=({"name": "look", "arguments": {}},), tokens=7)


def completion(message, finish_reason="stop", **fields):
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]} | fields).encode()


def test_a_plain_server_gets_plain_fields():
    asked = request(session_id="s", priority=3, turn=TURN, sampling={"temperature": 0, "stream": True})
    body = chat_body(asked, Capabilities())
    assert body == {"model": "tiny", "messages": asked.messages, "temperature": 0}


def test_sglang_gets_what_it_understands():
    asked = request(session_id="s", priority=3, turn=TURN, tools=[{"type": "function"}])
    can = Capabilities(kind="sglang", abort=True, session_close=True, priority=True)
    body = chat_body(asked, can)
    assert body.keys() == {"model", "messages", "tools", "session_id", "priority"}
    assert chat_body(asked, Capabilities(kind="sglang", abort=True)).keys() == {"model", "messages", "tools"}


def test_our_own_simulator_gets_the_turn():
    body = chat_body(request(turn=TURN), Capabilities(kind="sim"))
    where = {"rollout": "t#0", "step": 1}
    assert body["concur_turn"] == {"tokens": 7, "tool_calls": [{"name": "look", "arguments": {}}], **where}


def test_reads_sglangs_reply():
    reply = read_reply(captured("chat_warm.json").encode(), "r")
    assert reply.message == {"role": "assistant", "content": "fhfhfhfhfhfhfhfhfhfhfhfh"}
    assert (reply.finish_reason, reply.model) == ("length", "tiny")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.reasoning_tokens) == (931, 24, 930, 0)


@pytest.mark.parametrize("content", [7, 1.5, True, {"type": "text", "text": "x"}])
def test_an_answer_that_is_no_text_is_no_reply(content):
    assert read_reply(completion({"content": content}), "r") is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (completion({"content": 7}), "choices[0].message.content (expected str | array | null, got int)"),
        (
            completion({"content": "\ud800"}),
            "choices[0].message.content (holds half of a surrogate pair, which is no character)",
        ),
        (completion({"tool_calls": 7}), "choices[0].message.tool_calls (expected array | null, got int)"),
        (completion({"content": "x"}, usage="many"), "usage (expected object | null, got str)"),
        (completion({"content": "x"}, usage={"prompt_tokens": -1}), "usage.prompt_tokens (expected a number >= 0.0)"),
        (completion({"content": "x"}, usage={"prompt_tokens": 1.5}), "usage.prompt_tokens (expected a whole number)"),
        (completion({"content": "x"}, usage={"prompt_tokens": "7"}), "usage.prompt_tokens (expected a number, got str)"),
        (b'{"choices": []}', "choices (there is none)"),
        (b"{}", None),
        (b'{"choices": [', None),
        (b"<html>", None),
        (b'{"\\ud800": "\\ud800"}', "\\ud800 (holds half of a surrogate pair, which is no character)"),
        (b'"\\ud800"', None),
        (LATIN, None),
        (DEEP, None),
        (completion({"content": "x"}), None),
    ],
)
def test_the_field_that_is_wrong_is_named(body, told):
    assert wrong_field(body) == told


def test_no_more_can_be_cached_than_the_prompt_has():
    usage = {"prompt_tokens": 50, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 10**8}}
    assert read_reply(completion({"content": "x"}, usage=usage), "r").cached_tokens == 50


def test_no_token_cached_is_not_the_same_as_not_told():
    assert read_reply(captured("chat_cold.json").encode(), "r").cached_tokens == 0
    for usage in ({}, {"prompt_tokens_details": None}, {"prompt_tokens_details": {}}):
        assert read_reply(completion({"content": "x"}, usage=usage), "r").cached_tokens is None
    assert read_reply(completion({"content": "x"}, usage=None), "r").cached_tokens is None


def test_a_message_keeps_only_what_goes_back_into_the_history():
    told = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "audio": None, "refusal": None}
    calls = [{"id": "c1", "index": 0, "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}]
    reply = read_reply(completion(told | {"tool_calls": calls}), "r")
    function = {"name": "look", "arguments": '{"x": 1}'}
    assert reply.message == {
        "role": "assistant",
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize("name", ["reasoning", "refusal"])
def test_what_is_said_besides_keeps_its_name_where_it_is_text(name):
    for told in ({"text": "Hm."}, ["Hm."], 7, "", None):
        assert read_reply(completion({"content": "x", name: told}), "r").message == {"role": "assistant", "content": "x"}
    assert read_reply(completion({"content": "x", name: "Hm."}), "r").message == {
        "role": "assistant",
        "content": "x",
        name: "Hm.",
    }


def test_tool_calls_keep_what_only_their_server_knows():
    function = {"name": "look", "arguments": "{}"}
    signed = {"extra_content": {"google": {"thought_signature": "s1gn"}}}
    calls = [{"id": "a", "function": function, "index": 0, "note": None} | signed, {"id": "b", "function": function}]
    told = read_reply(completion({"content": None, "tool_calls": calls}), "r").message["tool_calls"]
    whole = {"type": "function", "function": function}
    assert told == [{"id": "a"} | whole | signed, {"id": "b"} | whole]


def test_mends_sloppy_tool_calls():
    calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"function": {"name": None, "arguments": None}}]
    message = read_reply(completion({"content": "", "tool_calls": calls}), "t#0/3").message
    assert [call["id"] for call in message["tool_calls"]] == ["call_t#0/3_0", "call_t#0/3_1"]
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "a", "arguments": '{"x":1}'},
        {"name": "", "arguments": "{}"},
    ]


def test_the_same_reasoning_under_two_names_is_kept_once():
    told = {"content": "Yes.", "reasoning": "Hm.", "reasoning_content": "Hm."}
    assert read_reply(completion(told), "r").message == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}


def test_a_field_beyond_reading_that_nobody_needs_makes_no_reply_unreadable():
    beyond = completion({"content": "Yes.", "reasoning": "BEYOND", "refusal": "BEYOND"}).replace(b'"BEYOND"', b"1e999")
    assert read_reply(beyond, "r").message == {"role": "assistant", "content": "Yes."}
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}, "extra": "BEYOND"}
    beyond = completion({"content": None, "tool_calls": [call]}).replace(b'"BEYOND"', b"1e999")
    assert read_reply(beyond, "r").message["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_reads_openais_reasoning_tokens():
    usage = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}
    assert read_reply(completion({"content": None}, usage=usage), "r").reasoning_tokens == 4
    assert read_reply(completion({"content": None}, usage=usage), "r").message == {"role": "assistant", "content": ""}


def test_content_in_parts_goes_back_into_the_history_as_it_came():
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    assert read_reply(completion({"content": parts}), "r").message == {"role": "assistant", "content": parts}


def counting(count):
    """One reply for each place where a count is told."""
    yield completion({"content": "x"}, usage={"prompt_tokens": count})
    yield completion({"content": "x"}, usage={"completion_tokens": count})
    yield completion({"content": "x"}, usage={"prompt_tokens": 2**53, "prompt_tokens_details": {"cached_tokens": count}})
    yield completion({"content": "x"}, usage={"reasoning_tokens": count})
    yield completion({"content": "x"}, usage={"completion_tokens_details": {"reasoning_tokens": count}})


@pytest.mark.parametrize("count", [10**20, 2**53 + 2, 1e300, -1, -1.0, 12.5, True, "12"])
def test_a_reply_with_a_count_that_cannot_be_is_none(count):
    assert [read_reply(body, "r") for body in counting(count)] == [None] * 5


@pytest.mark.parametrize("count", [0, 12, 12.0, 2**53])
def test_a_count_is_a_whole_number_however_it_is_written(count):
    replies = [read_reply(body, "r") for body in counting(count)]
    told = [replies[0].prompt_tokens, replies[1].completion_tokens, replies[2].cached_tokens]
    told += [reply.reasoning_tokens for reply in replies[3:]]
    assert told == [count] * 5
    assert {type(number) for number in told} == {int}  # 12.0 == 12, but no record takes it


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}', b'{"cho', LATIN, DEEP],
    ids=lambda body: body[:12],
)
def test_knows_what_is_no_reply(body):
    assert read_reply(body, "r") is None


@pytest.mark.parametrize(
    "told", [None, {"content": [{"token": "x", "logprob": -0.5, "top_logprobs": []}]}, {"tokens": ["x"]}, []]
)
def test_log_probabilities_are_kept_as_they_came_and_no_part_of_the_message(told):
    answer = json.loads(completion({"content": "x"}))
    answer["choices"][0]["logprobs"] = told
    reply = read_reply(json.dumps(answer).encode(), "r")
    assert reply.logprobs == told
    assert reply.message == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize(
    ("choice", "whole", "expected"),
    [
        ({"prompt_token_ids": [1, 2], "response_token_ids": [3, 151_645]}, {}, ([1, 2], [3, 151_645])),
        ({"prompt_token_ids": [1, 2]}, {}, ([1, 2], None)),
        ({"token_ids": [3]}, {"prompt_token_ids": [1, 2]}, ([1, 2], [3])),  # vLLM
        ({"prompt_token_ids": None, "response_token_ids": None}, {"prompt_token_ids": None}, (None, None)),
        ({"token_ids": []}, {}, (None, [])),
        (
            {"prompt_token_ids": "1 2", "response_token_ids": [[3]], "token_ids": [2**31]},
            {"prompt_token_ids": [-1, 0.5]},
            (None, None),
        ),
    ],
)
def test_token_ids_are_kept_where_they_are_some_and_no_part_of_the_message(choice, whole, expected):
    answer = json.loads(completion({"content": "x"})) | whole
    answer["choices"][0] |= choice
    reply = read_reply(json.dumps(answer).encode(), "r")
    assert (reply.prompt_token_ids, reply.response_token_ids) == expected
    assert reply.message == {"role": "assistant", "content": "x"}
