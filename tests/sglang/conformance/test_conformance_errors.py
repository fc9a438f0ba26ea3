"""Every refusal: status, media type, form, and the words where a client might read them."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest
from conformance_client import CHAT, NATIVE, TEXT, chat, native

FLAVOUR = "plain"
LONG, LONGER = "x" * 10_000, "x" * 30_000
SUM = (
    "Requested token count exceeds the model's maximum context length of 16384 tokens. You requested a total of {} tokens: {} "
    "tokens from the input messages and {} tokens for the completion. Please reduce the number of tokens in the input messages or "
    "the completion to fit within the limit."
)
TOO_LONG = "The input ({} tokens) is longer than the model's context length (16384 tokens)."
NEGATIVE = "max_new_tokens must be at least 0, got -1."


class Case(NamedTuple):
    body: Any
    told: str  # the message, or the field that a validation error must name
    path: str = CHAT


# {"object": "error", "message": ..., "type": "BadRequestError", "param": null, "code": 400}
REFUSED = {
    "no messages": Case(chat(messages=[]), "Messages cannot be empty."),
    "negative max_tokens": Case(chat(max_tokens=-1), NEGATIVE),
    "max_tokens over the context": Case(
        chat(max_tokens=20_000),
        "max_completion_tokens is too large: 20000.This model supports at most 16384 completion tokens.",
    ),
    "prompt over the context": Case(chat(LONGER), TOO_LONG.format(30_019)),
    "prompt over the context, no max_tokens": Case(chat(LONGER, max_tokens=None), TOO_LONG.format(30_019)),
    "prompt at the edge": Case(
        chat("x" * 16_360, max_tokens=1),
        "Input length (16379 tokens) exceeds the maximum allowed length (16378 tokens). "
        "Use a shorter input or enable --allow-auto-truncate.",
    ),
    "both over the context": Case(chat(LONG, max_tokens=12_000), SUM.format(22_019, 10_019, 12_000)),
    "max_tokens as long as the context": Case(chat("hi", max_tokens=16_384), SUM.format(16_405, 21, 16_384)),
    "empty prompt": Case({"prompt": ""}, "Prompt cannot be empty", TEXT),
    "prompt without tokens": Case({"prompt": []}, "Prompt cannot be empty", TEXT),
}
# The same with type "Bad Request", and a message that begins "N validation error".
INVALID = {
    "no JSON": Case(b"{not json", ""),
    "nothing": Case(b"", ""),
    "messages missing": Case({"model": "tiny"}, "messages"),
    "unknown role": Case(chat(messages=[{"role": "nobody", "content": "x"}]), "role"),
    "no role": Case(chat(messages=[{"content": "x"}]), "role"),
    "a role in capitals": Case(chat(messages=[{"role": "USER", "content": "x"}]), "role"),
    "content a number": Case(chat(messages=[{"role": "user", "content": 5}]), "content"),
    "content of a user null": Case(chat(messages=[{"role": "user", "content": None}]), "content"),
    "content of a user missing": Case(chat(messages=[{"role": "user"}]), "content"),
    "message a text": Case(chat(messages=["hi"]), "messages"),
    "max_tokens a word": Case(chat(max_tokens="many"), "max_tokens"),
    "max_tokens a fraction": Case(chat(max_tokens=2.5), "max_tokens"),
    "n a word": Case(chat(n="x"), "n"),
    "stream a word": Case(chat(stream="x"), "stream"),
    "session_id a number": Case(chat(session_id=5), "session_id"),
    "rid a number": Case(chat(rid=5), "rid"),
    "priority a word": Case(chat(priority="x"), "priority"),
    "prompt missing": Case({"model": "tiny"}, "prompt", TEXT),
    "prompt an object": Case({"prompt": {}}, "prompt", TEXT),
    "text, max_tokens 0": Case({"prompt": "x", "max_tokens": 0}, "max_tokens", TEXT),
    "text, max_tokens negative": Case({"prompt": "x", "max_tokens": -1}, "max_tokens", TEXT),
    "native, no JSON": Case(b"{", "", NATIVE),
    "native, words for ids": Case({"input_ids": ["a"]}, "input_ids", NATIVE),
    "close, nothing": Case(b"", "", "/close_session"),
    "close, no field": Case({}, "session_id", "/close_session"),
    "close, a number": Case({"session_id": 5}, "session_id", "/close_session"),
    "open, no field": Case({}, "capacity_of_str_len", "/open_session"),
    "abort, nothing": Case(b"", "", "/abort_request"),
    "abort, a number": Case({"rid": 5}, "rid", "/abort_request"),
    "pause, nothing": Case(b"", "", "/pause_generation"),
    "pause, no such mode": Case({"mode": "nap"}, "mode", "/pause_generation"),
    "continue, nothing": Case(b"", "", "/continue_generation"),
    "flush, negative timeout": Case(b"", "timeout", "/flush_cache?timeout=-1"),
    "flush, timeout a word": Case(b"", "timeout", "/flush_cache?timeout=x"),
}
# {"error": {"message": ...}}
NESTED = {
    "negative": Case(native(max_new_tokens=-1), NEGATIVE, NATIVE),
    "neither text nor ids": Case(
        {"sampling_params": {"max_new_tokens": 3}}, "Either text, input_ids or input_embeds should be provided.", NATIVE
    ),
    "too long": Case(native("a" * 20_000), TOO_LONG.format(20_000), NATIVE),
    "both too long": Case(native("a", max_new_tokens=20_000), SUM.format(20_001, 1, 20_000), NATIVE),
    "two kinds of session": Case(
        native(session_id="s", session_params={"id": "s"}), "session_id and session_params cannot both be set.", NATIVE
    ),
    "no such session": Case(native(session_params={"id": "nosuch"}), "Invalid request: session id nosuch does not exist", NATIVE),
}
METHODS = {
    ("GET", CHAT): "POST",
    ("GET", "/abort_request"): "POST",
    ("GET", NATIVE): "POST, PUT",
    ("POST", "/v1/loads"): "GET",
    ("HEAD", "/v1/models"): "GET",
    ("POST", "/ready"): "GET",
    ("DELETE", "/flush_cache"): "GET, POST",
}


@pytest.mark.parametrize("name", REFUSED)
def test_conformance_a_request_is_refused(target, name):
    body, told, path = REFUSED[name]
    answer = target.post(path, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json == {"object": "error", "message": told, "type": "BadRequestError", "param": None, "code": 400}


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"prompt at the edge"}))
def test_conformance_a_stream_is_refused_before_it_begins(target, name):
    body, told, path = REFUSED[name]
    answer = target.post(path, body | {"stream": True})
    assert (answer.status, answer.headers["content-type"], answer.json["message"]) == (400, "application/json", told)


@pytest.mark.parametrize("name", INVALID)
def test_conformance_a_body_is_invalid(target, name):
    body, told, path = INVALID[name]
    answer = target.post(path, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    message = answer.json["message"]
    assert answer.json == {"object": "error", "message": message, "type": "Bad Request", "param": None, "code": 400}
    assert " validation error" in message.partition("\n")[0]
    assert told in message


@pytest.mark.parametrize("name", NESTED)
def test_conformance_a_native_request_is_refused(target, name):
    body, told, path = NESTED[name]
    answer = target.post(path, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json == {"error": {"message": told}}


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_conformance_a_body_must_be_said_to_be_json(target, media_type, path):
    answer = target.ask("POST", path, chat(prompt="x"), media_type=media_type)
    assert (answer.status, answer.json["type"]) == (400, "Bad Request")
    assert "Unsupported Media Type: Only 'application/json' is allowed" in answer.json["message"]


@pytest.mark.parametrize("path", ["/nope", "/get_load"])
def test_conformance_a_path_is_not_there(target, path):
    answer = target.get(path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json == {"detail": "Not Found"}


@pytest.mark.parametrize(("method", "path"), METHODS)
def test_conformance_a_method_is_not_allowed(target, method, path):
    answer = target.ask(method, path)
    assert answer.status == 405
    assert ", ".join(sorted(answer.headers["allow"].split(", "))) == METHODS[method, path]
    assert method == "HEAD" or answer.json == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/v1/loads?include=nope", "/v1/loads?include=core,nope"])
def test_conformance_a_part_of_the_loads_is_not_there(target, path):
    """SGLang means to refuse it with 400, and falls over its own exception."""
    answer = target.get(path)
    assert (answer.status, answer.headers["content-type"], answer.text) == (
        500,
        "text/plain; charset=utf-8",
        "Internal Server Error",
    )


@pytest.mark.parametrize("name", sorted(NESTED.keys() - {"no such session"}))
def test_conformance_a_native_stream_is_refused_in_itself(target, name):
    body, told, path = NESTED[name]
    answer = target.post(path, body | {"stream": True})
    error = {"message": told, "type": "invalid_request_error", "code": 400, "retryable": False}
    assert (answer.status, answer.events) == (200, [{"error": error}])


def test_conformance_a_list_for_a_request_is_too_much(target):
    answer = target.post(CHAT, [])
    assert (answer.status, answer.text) == (500, "Internal Server Error")


def test_conformance_an_id_in_flight_is_refused(target):
    rid = f"dup-{time.time_ns()}"
    first = target.later(CHAT, chat(rid=rid, max_tokens=6_000))
    target.until_running(1)
    second = target.post(CHAT, chat(rid=rid))
    target.post("/abort_request", {"rid": rid})
    told = {"message": f"Duplicate request ID detected: {rid}", "type": "BadRequestError"}
    assert (second.status, second.json) == (400, {"object": "error", "param": None, "code": 400} | told)
    assert first.result().status == 200


@pytest.mark.parametrize(
    ("fields", "model"),
    [({"model": "nope"}, "nope"), ({"model": "tiny"}, "tiny"), ({}, "default")],
)
def test_conformance_any_model_is_accepted(target, fields, model):
    body = {key: value for key, value in chat().items() if key != "model"} | fields
    answer = target.post(CHAT, body)
    assert answer.status == 200
    assert answer.json["model"].removesuffix(" (simulated filler)") == model


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": "3"},
        {"max_tokens": 3.0},
        {"max_tokens": 8, "max_completion_tokens": 3},
        {"max_tokens": 3, "unknown_field": {}},
        {"max_tokens": 3, "priority": 5, "session_id": "s"},
        {"max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "seed": 1, "frequency_penalty": 0.1},
    ],
)
def test_conformance_what_is_accepted(target, fields):
    assert target.chat(**fields)["usage"]["completion_tokens"] <= 3


def test_conformance_max_tokens_0_computes_the_prompt_and_says_nothing(target):
    reply = target.chat("zero " * 20, max_tokens=0)
    assert (reply["choices"][0]["message"]["content"], reply["choices"][0]["finish_reason"]) == ("", "length")
    assert (reply["usage"]["completion_tokens"], reply["usage"]["total_tokens"]) == (0, 119)
    again = target.chat("zero " * 20, max_tokens=0)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 118
    body = native("nought", max_new_tokens=0)
    said = target.post(NATIVE, body).json
    assert (said["text"], said["output_ids"], said["meta_info"]["finish_reason"]) == ("", [], {"type": "length", "length": 0})


def test_conformance_max_tokens_0_in_a_stream(target):
    stream = target.post(CHAT, chat(max_tokens=0, stream=True, stream_options={"include_usage": True}))
    *chunks, usage = stream.events
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == ""
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["completion_tokens"] == 0
