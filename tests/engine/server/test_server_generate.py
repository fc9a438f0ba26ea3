"""/v1/completions and /generate."""

import pytest
from served import captured, post, server, shape

from concur_batch.virtual import run_virtual


def asked(url, *bodies, **options):
    async def story():
        app = server(**options)
        return [await post(app, url, body) for body in bodies]

    return run_virtual(story())


def test_generate_has_the_fields_of_a_captured_reply():
    body = {"text": "hello", "sampling_params": {"max_new_tokens": 4, "temperature": 0}, "rid": "gen-1"}
    (reply,) = asked("/generate", body)
    assert shape(reply.json) == shape(captured("generate.json"))
    assert reply.json["meta_info"]["finish_reason"] == {"type": "length", "length": 4}
    assert (len(reply.json["text"]), len(reply.json["output_ids"])) == (4, 4)


def test_generate_streams_all_that_has_been_said_so_far():
    body = {"text": "hello", "sampling_params": {"max_new_tokens": 5}}
    whole, stream = asked("/generate", body, body | {"stream": True})
    texts = [event["text"] for event in stream.events]
    assert texts == [whole.json["text"][:n] for n in range(1, 6)]
    assert [event["meta_info"]["completion_tokens"] for event in stream.events] == [1, 2, 3, 4, 5]
    assert [bool(event["meta_info"]["finish_reason"]) for event in stream.events] == [False] * 4 + [True]


@pytest.mark.parametrize("chars", [1.0, 4.0])
def test_token_ids_sent_back_are_found_in_the_cache(chars):
    async def story():
        app = server(chars=chars)
        sampling = {"max_new_tokens": 10}
        first = (await post(app, "/generate", {"input_ids": list(range(100)), "sampling_params": sampling})).json
        ids = [*range(100), *first["output_ids"], 7]
        return (await post(app, "/generate", {"input_ids": ids, "sampling_params": sampling})).json["meta_info"]

    meta = run_virtual(story())
    assert (meta["prompt_tokens"], meta["cached_tokens"]) == (111, 109)


def test_sessions_carry_the_conversation():
    async def story():
        app = server(session_cache=True)
        opened = await post(app, "/open_session", {"capacity_of_str_len": 1000, "session_id": "s"})
        twice = await post(app, "/open_session", {"capacity_of_str_len": 1000, "session_id": "s"})
        body = {"text": "hello", "sampling_params": {"max_new_tokens": 10}, "session_params": {"id": "s"}}
        first = await post(app, "/generate", body | {"rid": "one"})
        second = await post(app, "/generate", body | {"rid": "two", "session_params": {"id": "s", "rid": "one"}})
        third = await post(app, "/generate", body | {"session_params": {"id": "s", "rid": "two"}})
        anew = await post(app, "/generate", body)
        unknown = await post(app, "/generate", body | {"session_params": {"id": "s", "rid": "nobody"}})
        closed = await post(app, "/close_session", {"session_id": "s"})
        after = await post(app, "/generate", body)
        return opened, twice, (first, second, third, anew), unknown, closed, after

    opened, twice, turns, unknown, closed, after = run_virtual(story())
    assert (opened.status, opened.json) == (200, "s")
    assert twice.status == 400
    assert "still open" in twice.json["error"]["message"]
    assert [answer.json["meta_info"]["prompt_tokens"] for answer in turns] == [5, 20, 35, 5]
    assert (unknown.status, unknown.json) == (400, {"error": {"message": "Invalid request session id"}})
    assert (closed.status, closed.text) == (200, "")
    assert after.json == {"error": {"message": "Invalid request: session id s does not exist"}}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"input_ids": ["a"]},
        {"input_ids": [-1]},
        {"text": "a", "session_id": "s", "session_params": {"id": "s"}},
        {"text": "a", "sampling_params": {"max_new_tokens": 20_000}},
        {"text": "a" * 20_000},
    ],
)
def test_generate_refuses(body):
    (reply,) = asked("/generate", body)
    assert reply.status == 400
    assert reply.json.get("message") or reply.json["error"]["message"]


def test_generate_takes_ids_before_text():
    (reply,) = asked("/generate", {"text": "abc", "input_ids": [1, 2]})
    assert reply.json["meta_info"]["prompt_tokens"] == 2


@pytest.mark.parametrize("fields", [{"sampling_params": {"max_new_tokens": -1}}, {"text": "a" * 20_000}, {"text": ""}])
def test_generate_refuses_in_the_stream_itself(fields):
    body = {"text": "a"} | fields
    whole, stream = asked("/generate", body, body | {"stream": True})
    told = {"message": whole.json["error"]["message"], "type": "invalid_request_error", "code": 400, "retryable": False}
    assert (stream.status, stream.events) == (200, [{"error": told}])


@pytest.mark.parametrize("stream", [False, True])
def test_no_tokens_where_none_are_asked_for(stream):
    (reply,) = asked("/generate", {"text": "hello", "stream": stream, "sampling_params": {"max_new_tokens": 0}})
    said = reply.events[0] if stream else reply.json
    assert (said["text"], said["output_ids"], said["meta_info"]["completion_tokens"]) == ("", [], 0)
    assert said["meta_info"]["finish_reason"] == {"type": "length", "length": 0}


def test_completions_give_text():
    (reply,) = asked("/v1/completions", {"model": "tiny", "prompt": "hello", "max_tokens": 4})
    chat = captured("chat_cold.json")
    assert list(reply.json) == list(chat)
    assert shape(reply.json["usage"]) == shape(chat["usage"])
    assert list(reply.json["choices"][0]) == ["index", "text", "logprobs", "finish_reason", "matched_stop"]
    assert reply.json["object"] == "text_completion"
    assert reply.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("prompt", ["hello", [104, 101], ["hello"], [[104, 101]]])
def test_completions_take_one_prompt_of_either_kind(prompt):
    (reply,) = asked("/v1/completions", {"prompt": prompt})
    assert reply.json["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize("prompt", ["", [], [[]], ["a", "b"], [1, "a"], {}])
def test_completions_refuse(prompt):
    (reply,) = asked("/v1/completions", {"prompt": prompt})
    assert (reply.status, reply.json["code"]) == (400, 400)


@pytest.mark.parametrize("most", [0, -1])
def test_completions_must_have_a_token(most):
    (reply,) = asked("/v1/completions", {"prompt": "hello", "max_tokens": most})
    assert (reply.status, reply.json["type"]) == (400, "Bad Request")
    assert "max_tokens must be positive" in reply.json["message"]


@pytest.mark.parametrize("speed", [1.0, 1e6])
def test_a_stream_of_completions_adds_up(speed):
    body = {"prompt": "hello", "max_tokens": 9, "echo": True}
    whole, stream = asked(
        "/v1/completions", body, body | {"stream": True, "stream_options": {"include_usage": True}}, speed=speed
    )
    *pieces, usage = stream.events
    assert "".join(event["choices"][0]["text"] for event in pieces) == whole.json["choices"][0]["text"]
    assert whole.json["choices"][0]["text"].startswith("hello")
    assert [event["choices"][0]["finish_reason"] for event in pieces] == [None] * 9 + ["length"]
    assert usage["usage"]["completion_tokens"] == 9
