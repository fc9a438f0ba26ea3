"""Error bodies, word for word."""

import asyncio

import pytest
from served import ask, captured, chat, get, post, server

from concur_batch.virtual import run_virtual


def refused(body, url="/v1/chat/completions", **options):
    answer = run_virtual(post(server(**options), url, body))
    return answer.status, answer.json


def test_a_prompt_that_is_longer_than_the_context():
    status, body = refused(chat("x" * (30_019 - 4)), capacity=40_000)
    assert (status, body) == (400, captured("too_long.json"))


def test_prompt_and_reply_that_are_together():
    status, body = refused(chat("x" * (10_019 - 4), max_tokens=12_000))
    assert (status, body) == (400, captured("too_long_sum.json"))


def test_no_messages():
    assert refused(chat() | {"messages": []}) == (400, captured("empty_messages.json"))


def test_a_negative_length():
    assert refused(chat(max_tokens=-1)) == (400, captured("bad_max_tokens.json"))


def test_an_id_that_is_in_flight():
    async def story():
        app = server()
        first = asyncio.create_task(post(app, "/v1/chat/completions", chat(rid="dup", max_tokens=9)))
        await asyncio.sleep(1)
        second = await post(app, "/v1/chat/completions", chat(rid="dup", max_tokens=9))
        return second, await first

    second, first = run_virtual(story())
    assert first.status == 200
    message = "Duplicate request ID detected: dup"
    told = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    assert (second.status, second.json) == (400, told)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"",
        b"5",
        b"\xff",
        b'{"messages": [{"role": "user", "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
        {"model": "tiny"},
        chat(session_id=5),
        chat(max_tokens="many"),
        chat(concur_turn={"tokens": "x"}),
        {"messages": [{"content": "no role"}]},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
        {"messages": ["hi"]},
    ],
)
def test_a_body_of_the_wrong_form(body):
    status, told = refused(body)
    assert status == 400
    assert (told["object"], told["type"], told["code"]) == ("error", "Bad Request", 400)
    assert told["message"].startswith("1 validation error")


@pytest.mark.parametrize(("fields", "words"), [({"n": 2}, "n must be 1"), ({"max_tokens": 20_000}, "is too large: 20000.")])
def test_what_cannot_be_served(fields, words):
    status, told = refused(chat(**fields))
    assert status == 400
    assert words in told["message"]


def test_a_body_that_is_not_said_to_be_json():
    answer = run_virtual(post(server(), "/v1/chat/completions", chat(), headers={"content-type": "text/plain"}))
    assert answer.status == 400
    assert "application/json" in answer.json["message"]


def test_a_list_is_more_than_sglang_can_take():
    answer = run_virtual(post(server(), "/v1/chat/completions", b" []"))
    assert (answer.status, answer.headers["content-type"], answer.text) == (
        500,
        "text/plain; charset=utf-8",
        "Internal Server Error",
    )


def test_what_the_scheduler_refuses_comes_in_a_stream_that_has_begun():
    body = chat("x" * 16_375, max_tokens=1)
    status, whole = refused(body)
    stream = run_virtual(post(server(), "/v1/chat/completions", body | {"stream": True}))
    assert (status, stream.status) == (400, 200)
    assert stream.events == [{"error": whole | {"type": "BAD_REQUEST"}}]


def test_no_such_path_or_method():
    async def story():
        app = server()
        return await get(app, "/nope"), await get(app, "/v1/chat/completions")

    nope, method = run_virtual(story())
    assert (nope.status, nope.json) == (404, {"detail": "Not Found"})
    assert (method.status, method.headers["allow"], method.json) == (405, "POST", {"detail": "Method Not Allowed"})


def test_paths_are_taken_as_fastapi_takes_them():
    async def story():
        app = server()
        return await ask(app, "HEAD", "/v1/models"), await get(app, "/server_info/")

    head, slash = run_virtual(story())
    assert (head.status, head.headers["allow"]) == (405, "GET")
    assert (slash.status, slash.text) == (307, "")
    assert slash.headers["location"].endswith("/server_info")


def test_a_key_where_one_is_asked_for():
    async def story():
        app = server(key="secret")
        right = {"authorization": "Bearer secret"}
        return [
            await get(app, "/v1/models"),
            await get(app, "/v1/models", headers={"authorization": "Bearer wrong"}),
            await get(app, "/v1/models", headers=right),
            await get(app, "/ready"),
            await get(app, "/metrics"),
        ]

    answers = run_virtual(story())
    assert [answer.status for answer in answers] == [401, 401, 200, 200, 200]
    assert answers[0].json == {"error": "Unauthorized"}
