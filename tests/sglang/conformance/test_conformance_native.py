"""/generate and /v1/completions."""

from __future__ import annotations

import pytest
from conformance_client import CHAT, NATIVE, TEXT, chat, native, new, shape

FLAVOUR = "plain"
META = {
    "id": "str",
    "finish_reason": {"type": "str", "length": "number"},
    "prompt_tokens": "number",
    "weight_version": "str",
    "num_retractions": "number",
    "storage_prefetch_wait": "number",
    "storage_staging_wait": "number",
    "forward_entry_time": "number",
    "prefill_finished_time": "number",
    "queue_time": "number",
    "reasoning_tokens": "number",
    "completion_tokens": "number",
    "cached_tokens": "number",
    "weight_versions": [{"version": "str", "start": "number", "end": "number"}],
    "cached_tokens_details": "NoneType",
    "dp_rank": "NoneType",
    "e2e_latency": "number",
    "request_received_ts": "number",
    "first_token_latency": "number",
    "api_server_dispatch_finish_ts": "number",
    "request_finished_ts": "number",
    "decode_throughput": "number",
    "response_sent_to_client_ts": "number",
}
USAGE = {
    "prompt_tokens": "number",
    "total_tokens": "number",
    "completion_tokens": "number",
    "prompt_tokens_details": {"cached_tokens": "number"},
    "reasoning_tokens": "number",
    "completion_tokens_details": "NoneType",
}
REPLY = {
    "id": "str",
    "object": "str",
    "created": "number",
    "model": "str",
    "choices": [{}],
    "usage": USAGE,
    "metadata": {"weight_version": "str", "weight_versions": [{"version": "str", "start": "number", "end": "number"}]},
}
CHOICE = {"index": "number", "logprobs": "NoneType", "finish_reason": "str", "matched_stop": "NoneType"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_conformance_generate_has_these_fields(target, method):
    answer = target.ask(method, NATIVE, native(rid="gen-1"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert shape(answer.json) == {"text": "str", "output_ids": ["number"], "meta_info": META}
    meta = answer.json["meta_info"]
    assert (meta["id"], meta["finish_reason"], meta["completion_tokens"]) == ("gen-1", {"type": "length", "length": 8}, 8)
    assert (meta["num_retractions"], meta["cached_tokens"], meta["weight_version"]) == (0, 0, "default")
    assert meta["weight_versions"] == [{"version": "default", "start": 0, "end": 8}]
    assert 0 <= meta["queue_time"] <= meta["first_token_latency"] <= meta["e2e_latency"]
    assert meta["request_received_ts"] <= meta["forward_entry_time"] <= meta["prefill_finished_time"]
    assert meta["prefill_finished_time"] <= meta["request_finished_ts"] <= meta["response_sent_to_client_ts"]
    assert (len(answer.json["text"]), len(answer.json["output_ids"])) == (8, 8)


def test_conformance_generate_says_where_cached_tokens_were(target):
    text = new("x", 50)
    target.post(NATIVE, native(text))
    meta = target.post(NATIVE, native(text)).json["meta_info"]
    assert (meta["prompt_tokens"], meta["cached_tokens"]) == (50, 49)
    assert meta["cached_tokens_details"] == {"device": 49, "host": 0}


def test_conformance_generate_counts_token_ids_as_they_are(target):
    reply = target.post(NATIVE, {"input_ids": [10, 20, 30], "sampling_params": native()["sampling_params"]}).json
    assert reply["meta_info"]["prompt_tokens"] == 3
    assert len(reply["output_ids"]) == 8


def test_conformance_generate_takes_ids_before_text(target):
    assert target.post(NATIVE, native("abc", input_ids=[5])).json["meta_info"]["prompt_tokens"] == 1


def test_conformance_generate_says_128_tokens_unless_told_otherwise(target):
    body = {"text": new(), "sampling_params": {"ignore_eos": True, "temperature": 0}}
    assert target.post(NATIVE, body).json["meta_info"]["completion_tokens"] == 128


def test_conformance_chat_has_these_fields(target):
    answer = target.post(CHAT, chat(rid="my-rid"))
    message = {"role": "str", "content": "str", "reasoning_content": "NoneType"}
    assert shape(answer.json) == REPLY | {"choices": [CHOICE | {"message": message}]}
    assert (answer.json["id"], answer.json["object"]) == ("my-rid", "chat.completion")
    assert answer.json["choices"][0]["finish_reason"] == "length"
    usage = answer.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == 8


def test_conformance_chat_tells_meta_info_where_it_is_asked_for(target):
    (choice,) = target.chat(return_meta_info=True)["choices"]
    assert shape(choice["meta_info"]) == META


def test_conformance_an_id_is_made_where_none_is_given(target):
    ids = {target.chat()["id"] for _ in range(3)}
    assert len(ids) == 3
    assert {len(made) for made in ids} == {32}
    assert target.chat(rid="")["id"] == ""


@pytest.mark.parametrize("prompt", ["hello", [14, 15, 16], ["hello"], [[14, 15, 16]]])
def test_conformance_completions_take_text_and_ids(target, prompt):
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 4, "ignore_eos": True, "temperature": 0}
    reply = target.post(TEXT, body).json
    assert shape(reply) == REPLY | {"choices": [CHOICE | {"text": "str"}]}
    assert reply["object"] == "text_completion"
    assert reply["usage"]["prompt_tokens"] == (5 if "hello" in prompt else 3)


def test_conformance_completions_say_16_tokens_unless_told_otherwise(target):
    body = {"model": "tiny", "prompt": new(), "ignore_eos": True, "temperature": 0}
    assert target.post(TEXT, body).json["usage"]["completion_tokens"] == 16


def test_conformance_completions_echo_the_prompt(target):
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 2, "echo": True, "ignore_eos": True, "temperature": 0}
    text = target.post(TEXT, body).json["choices"][0]["text"]
    assert (text[:5], len(text)) == ("hello", 7)


def test_conformance_a_session_carries_the_conversation(target):
    """Opened, and named in session_params, with the request that is continued."""
    session = new()
    opened = target.post("/open_session", {"capacity_of_str_len": 1_000, "session_id": session})
    assert (opened.status, opened.json) == (200, session)
    twice = target.post("/open_session", {"capacity_of_str_len": 1_000, "session_id": session})
    told = "Failed to open the session. Check if a session with the same id is still open."
    assert (twice.status, twice.json) == (400, {"error": {"message": told}})
    prompts = []
    for before in (None, "turn-0", "turn-1", None, "turn-0"):
        named = {"session_params": {"id": session, "rid": before}}
        answer = target.post(NATIVE, native("hello", rid=f"turn-{len(prompts)}") | named)
        prompts.append(answer.json["meta_info"]["prompt_tokens"])
    assert prompts == [5, 18, 31, 5, 18]
    unknown = target.post(NATIVE, native("hello") | {"session_params": {"id": session, "rid": "nobody"}})
    assert (unknown.status, unknown.json) == (400, {"error": {"message": "Invalid request session id"}})
    closed = target.post("/close_session", {"session_id": session})
    assert (closed.status, closed.text) == (200, "")
    assert target.post(NATIVE, native("hello") | named).status == 400


@pytest.mark.parametrize("body", [{"session_id": "unknown"}, {"session_id": "unknown", "more": 1}])
def test_conformance_closing_is_always_well(target, body):
    for _ in range(2):
        answer = target.post("/close_session", body)
        assert (answer.status, answer.text, answer.headers["content-length"]) == (200, "", "0")
    assert target.ask("GET", "/close_session", body).status == 200
