"""Streams: which chunks come, in which order, and what is in them."""

from __future__ import annotations

import pytest
from conformance_client import CHAT, NATIVE, TEXT, cached, chat, native, new, shape, until

FLAVOUR = "plain"
CHUNK = {"id": "str", "object": "str", "created": "number", "model": "str"}
CHOICE = {"index": "number", "delta": {}, "logprobs": "NoneType", "finish_reason": "NoneType", "matched_stop": "NoneType"}
USAGE = {
    "prompt_tokens": "number",
    "total_tokens": "number",
    "completion_tokens": "number",
    "prompt_tokens_details": {"cached_tokens": "number"},
    "reasoning_tokens": "number",
}


def streamed(target, path, body, chunks):
    """The answer with so many of them. On a busy machine the real HTTP process falls behind and joins tokens; then once more."""
    answers = []

    def is_whole() -> bool:
        answers.append(target.post(path, body))
        return len(answers[-1].events) == chunks

    until(is_whole)
    return answers[-1]


def test_conformance_a_chat_is_streamed_token_by_token(target):
    text = new()
    whole = target.chat(text, max_tokens=12)
    answer = streamed(target, CHAT, chat(text, max_tokens=12, stream=True), 14)
    role, *pieces, end = answer.events
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning_content": None}
    assert [len(piece["choices"][0]["delta"]["content"]) for piece in pieces] == [1] * 12
    said = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert said == whole["choices"][0]["message"]["content"]
    assert end["choices"][0]["delta"] == {"reasoning_content": None}
    assert [chunk["choices"][0]["finish_reason"] for chunk in answer.events] == [None] * 13 + ["length"]


def test_conformance_chunks_have_these_fields(target):
    answer = streamed(target, CHAT, chat(stream=True), 10)
    for chunk, delta in zip(
        answer.events,
        [{"role": "str", "content": "str"}, *[{"content": "str"}] * 8, {}],
        strict=True,
    ):
        expected = CHUNK | {"choices": [CHOICE | {"delta": delta | {"reasoning_content": "NoneType"}}]}
        if not delta:
            expected["choices"][0]["finish_reason"] = "str"
        assert shape(chunk) == expected
    assert len({chunk["id"] for chunk in answer.events}) == 1
    assert {chunk["object"] for chunk in answer.events} == {"chat.completion.chunk"}


def test_conformance_a_stream_has_these_headers(target):
    answer = target.post(CHAT, chat(stream=True))
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert answer.text.startswith("data: {")


@pytest.mark.parametrize(
    ("options", "chunks"), [({}, 0), ({"stream_options": {"include_usage": False}}, 0), ({"stream_options": None}, 0)]
)
def test_conformance_usage_comes_only_where_it_is_asked_for(target, options, chunks):
    events = target.post(CHAT, chat(stream=True) | options).events
    assert sum("usage" in event and event["usage"] is not None for event in events) == chunks


def test_conformance_usage_comes_last(target):
    text = new()
    target.chat(text)
    *_, usage = target.post(CHAT, chat(text, stream=True, stream_options={"include_usage": True})).events
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 8
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + 8
    assert cached(usage) == usage["usage"]["prompt_tokens"] - 1
    assert {key: shape(usage["usage"])[key] for key in USAGE} == USAGE


def test_conformance_a_completion_is_streamed_without_a_role(target):
    body = {"model": "tiny", "prompt": new(), "max_tokens": 6, "ignore_eos": True, "temperature": 0}
    whole = target.post(TEXT, body).json["choices"][0]["text"]
    *pieces, usage = streamed(target, TEXT, body | {"stream": True, "stream_options": {"include_usage": True}}, 7).events
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == whole
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * 5 + ["length"]
    assert {piece["object"] for piece in pieces} == {"text_completion"}
    assert usage["usage"]["completion_tokens"] == 6


def test_conformance_native_chunks_hold_all_that_has_been_said(target):
    text = new()
    whole = target.post(NATIVE, native(text)).json
    answer = streamed(target, NATIVE, native(text, stream=True), 8)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [event["text"] for event in answer.events] == [whole["text"][: n + 1] for n in range(8)]
    assert [event["meta_info"]["completion_tokens"] for event in answer.events] == list(range(1, 9))
    assert [len(event["output_ids"]) for event in answer.events] == list(range(1, 9))
    assert [event["meta_info"]["finish_reason"] for event in answer.events] == [None] * 7 + [{"type": "length", "length": 8}]


def test_conformance_what_the_scheduler_refuses_is_told_in_the_stream(target):
    """The HTTP process has answered 200 by then."""
    told = (
        "Input length (16379 tokens) exceeds the maximum allowed length (16378 tokens). "
        "Use a shorter input or enable --allow-auto-truncate."
    )
    answer = target.post(CHAT, chat("x" * 16_360, max_tokens=1, stream=True))
    assert answer.status == 200
    error = {"object": "error", "message": told, "type": "BAD_REQUEST", "param": None, "code": 400}
    assert answer.events == [{"error": error}]
