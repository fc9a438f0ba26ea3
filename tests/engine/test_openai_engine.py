import asyncio
import json
import socket

import pytest
from aiohttp import web
from chat_server import (
    DEEP,
    HTML,
    LATIN,
    ChatServer,
    breaks_off,
    captured,
    complete,
    hangs,
    hangs_up,
    in_turn,
    packs_nothing,
    request,
    says,
    sglang_routes,
    with_engine,
)

from concur_batch.agent.react import react
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineDown, EngineError, EngineFailed, EngineRefused
from concur_batch.task import ScriptedTurn

GOOD = says(captured("chat_warm.json"))
TGI = '{"error": "`inputs` tokens + `max_new_tokens` must be <= 1000"}'


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ended_by(error, finish_reason="error"):
    """A completion as OpenRouter tells of a server behind it that failed."""
    message = {"role": "assistant", "content": ""}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason, "error": error}]})


def test_completes_and_says_who_it_is():
    reply, server = complete(GOOD, api_key="secret")
    assert (reply.message["content"], reply.cached_tokens) == ("fhfhfhfhfhfhfhfhfhfhfhfh", 930)
    assert server.bodies == [{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}]
    sent = server.headers[0]
    assert sent["Authorization"] == "Bearer secret"
    assert sent["Content-Type"] == "application/json"
    assert not [name for name in sent if name.lower().startswith("x-stainless-") and name.lower() != "x-stainless-retry-count"]


def test_a_server_that_has_told_cached_tokens_means_none_by_silence():
    """As SGLang 0.5.17 does with --enable-cache-report."""
    silent = json.loads(captured("chat_warm.json"))
    silent["usage"]["prompt_tokens_details"] = None
    chat = in_turn(says(json.dumps(silent)), says(captured("chat_warm.json")), says(json.dumps(silent)))

    async def story(engine, server):
        return [(await engine.complete(request(step=n))).cached_tokens for n in (1, 2, 3)]

    assert with_engine(ChatServer(chat), story) == [None, 930, 0]


def test_names_the_account_where_the_environment_does(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    _, server = complete(GOOD)
    assert server.headers[0]["OpenAI-Organization"] == "org-1"


def test_sends_text_that_utf8_cannot_hold():
    async def story(engine, server):
        await engine.complete(request(messages=[{"role": "user", "content": "half \ud83d, whole 😀"}]))
        return server.bodies[0]["messages"][0]["content"]

    assert with_engine(ChatServer(), story) == "half \ud83d, whole 😀"


def test_many_at_once_are_not_held_back():
    async def story(engine, server):
        arrived, everybody = [], asyncio.Event()

        async def waits_for_all(http):
            arrived.append(http)
            if len(arrived) == 110:  # more than any client's usual pool
                everybody.set()
            await everybody.wait()
            return await GOOD(http)

        server._routes["/v1/chat/completions"] = waits_for_all
        async with asyncio.timeout(20):
            replies = await asyncio.gather(*(engine.complete(request(step)) for step in range(110)))
        return len(replies)

    assert with_engine(ChatServer(), story) == 110


def test_a_proxy_of_the_environment_does_not_concern_loopback(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    reply, _ = complete(GOOD)
    assert reply.finish_reason == "length"


@pytest.mark.parametrize(
    ("chat", "kind", "text"),
    [
        (hangs_up, EngineDown, "broke the connection before a reply came"),
        (breaks_off, EngineDown, "broke the connection in the middle of a reply"),
        (packs_nothing, EngineFailed, "sent a reply whose body is not encoded as its header Content-Encoding says"),
        (says(HTML), EngineFailed, "expected a chat completion, but got an HTML page ('It works!')"),
        (says("{}"), EngineFailed, "expected a chat completion, but got '{}'"),
        (says(LATIN), EngineFailed, "expected a chat completion, but got"),
        (says(DEEP), EngineFailed, "expected a chat completion, but got"),
        (says(LATIN, 503), EngineBusy, "HTTP 503"),
        (
            says(f'{{"choices": [{{"message": {{}}}}], "usage": {{"prompt_tokens": {10**20}}}}}'),
            EngineFailed,
            "a chat completion",
        ),
        (
            says('{"choices": [{"message": {"content": 7}}]}'),
            EngineFailed,
            "got one that cannot be read for its choices[0].message.content (expected str",
        ),
        (says(HTML, 500), EngineFailed, "HTTP 500: an HTML page"),
        (says("", 502), EngineFailed, "HTTP 502: an empty body"),
        (says("{}", 503), EngineBusy, "HTTP 503"),
        (says(captured("abort.json")), EngineBusy, "aborted the request"),
        (says(ended_by({"code": 502, "message": "upstream died"})), EngineFailed, "ends in an error: upstream died"),
        (says(ended_by({"code": 502, "message": "upstream died"}, finish_reason=None)), EngineFailed, "upstream died"),
        (says(ended_by({"code": 429, "message": "slow down"}, finish_reason="stop")), EngineBusy, "slow down"),
        (says(ended_by("upstream died")), EngineFailed, "ends in an error: upstream died"),
        (says(ended_by(None)), EngineFailed, "expected a chat completion, but got"),
        (says('{"error": {"code": "503", "message": "no provider"}}'), EngineBusy, "ends in an error: no provider"),
        (says('{"error": {"code": 400, "message": "odd"}, "choices": []}'), EngineFailed, "ends in an error: odd"),
        (says(captured("too_long.json"), 400), ContextLengthExceeded, "16384 tokens"),
        (says('{"error": {"message": "no model `x`"}}', 404), EngineRefused, "no model `x`"),
    ],
)
def test_classes_what_goes_wrong(chat, kind, text):
    with pytest.raises(EngineError) as caught:
        complete(chat)
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert str(caught.value).startswith("http://127.0.0.1:")


def test_an_error_that_is_none_ends_no_reply():
    assert complete(says(ended_by(None, finish_reason="stop")))[0].finish_reason == "stop"


def test_passes_on_how_long_to_wait():
    with pytest.raises(EngineBusy) as caught:
        complete(says("{}", 429, {"Retry-After": "3"}))
    assert caught.value.retry_after == 3.0


def test_is_down_where_nobody_listens():
    async def story():
        engine = OpenAIEngine(f"http://127.0.0.1:{unused_port()}/v1")
        try:
            assert not await engine.ready()
            with pytest.raises(EngineDown, match=r"cannot be reached: Connection refused$"):
                await engine.probe()
            with pytest.raises(EngineDown, match=r"cannot be reached"):
                await engine.complete(request())
        finally:
            await engine.aclose()

    asyncio.run(story())


def test_a_server_without_encryption_is_not_taken_for_one_with():
    async def story(_, server):
        engine = OpenAIEngine(server.url.replace("http:", "https:"))
        try:
            with pytest.raises(EngineRefused, match=r"no secure connection: [a-z ]+; give http:// where"):
                await engine.probe()
        finally:
            await engine.aclose()

    with_engine(ChatServer(), story)


def test_a_server_that_speaks_no_http_has_failed():
    async def story():
        async def babbles(_, writer):
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(babbles, "127.0.0.1", 0)
        engine = OpenAIEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            with pytest.raises(EngineFailed, match="not in HTTP"):
                await engine.complete(request())
        finally:
            await engine.aclose()
            server.close()
            await server.wait_closed()

    asyncio.run(story())


def test_a_request_that_takes_too_long_fails_and_is_aborted():
    async def story(engine, server):
        await engine.probe()
        with pytest.raises(EngineFailed, match=r"no reply within 0\.05 s"):
            await engine.complete(request())
        return server

    server = with_engine(ChatServer(hangs, sglang_routes()), story, request_timeout_s=0.05)
    assert server.told == [("/abort_request", {"rid": server.bodies[0]["rid"]})]


def test_a_cancelled_request_is_aborted_on_sglang():
    async def story(engine, server):
        await engine.probe()
        task = asyncio.create_task(engine.complete(request()))
        await server.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return server

    server = with_engine(ChatServer(hangs, sglang_routes()), story)
    assert server.told == [("/abort_request", {"rid": server.bodies[0]["rid"]})]
    assert server.bodies[0]["rid"].endswith("t#0/1")
    plain = with_engine(ChatServer(hangs), story)
    assert plain.told == []
    assert "rid" not in plain.bodies[0]


def test_aborts_by_request_id():
    async def story(engine, server):
        await engine.probe()
        await engine.abort("t#0/1")  # not in flight
        task = asyncio.create_task(engine.complete(request()))
        await server.started.wait()
        await engine.abort("t#0/1")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return server

    server = with_engine(ChatServer(hangs, sglang_routes()), story)
    assert {body["rid"] for _, body in server.told} == {server.bodies[0]["rid"]}


def test_what_is_sent_again_within_an_attempt_has_an_id_of_its_own():
    """SGLang 0.5.11 to 0.5.13 keep the id of a request that they refuse, and call the next one with it a duplicate."""
    seen, answering = set(), in_turn(says(captured("too_long_sum.json"), 400), says(TGI, 400), hangs)

    async def remembers(http):
        rid = (await http.json())["rid"]
        if rid in seen:
            return web.json_response({"message": f"Duplicate request ID detected: {rid}"}, status=400)
        seen.add(rid)
        return await answering(http)

    async def story(engine, server):
        await engine.probe()
        bounded = request(sampling={"max_tokens": 12000}, bound_is_ours=True)
        task = asyncio.create_task(engine.complete(bounded))
        async with asyncio.timeout(20):
            while len(server.bodies) < 3:
                await asyncio.sleep(0.01)
        await engine.abort("t#0/1")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return server

    server = with_engine(ChatServer(remembers, sglang_routes()), story)
    assert [body.get("max_tokens") for body in server.bodies] == [12000, 6364, None]
    assert {body["rid"] for _, body in server.told} == {server.bodies[-1]["rid"]}


def test_request_ids_of_two_runs_differ():
    async def story(engine, server):
        other = OpenAIEngine(server.url)
        for each in (engine, other):
            await each.probe()
            await each.complete(request())
            await each.complete(request())
        await other.aclose()
        return {body["rid"] for body in server.bodies}

    assert len(with_engine(ChatServer(GOOD, sglang_routes()), story)) == 4


def test_closes_sessions_where_the_server_has_them():
    async def story(engine, server):
        await engine.probe()
        await engine.complete(request(session_id="t#0"))
        await engine.close_session("t#0")
        return server

    server = with_engine(ChatServer(GOOD, sglang_routes(enable_session_radix_cache=True)), story)
    session = server.bodies[0]["session_id"]
    assert session.endswith("-t#0")  # and begins with what tells this run's sessions from another's
    assert server.told == [("/close_session", {"session_id": session})]
    server = with_engine(ChatServer(GOOD, sglang_routes()), story)
    assert ("session_id" in server.bodies[0], server.told) == (False, [])


def test_our_simulators_server_gets_the_turn():
    async def story(engine, server):
        assert (await engine.probe()).kind == "sim"
        await engine.complete(request(turn=ScriptedTurn(content="hello")))
        return server.bodies[0]["concur_turn"]

    told = with_engine(ChatServer(GOOD, sglang_routes(concur_simulator=True)), story)
    assert told == {"content": "hello", "rollout": "t#0", "step": 1}


@pytest.mark.parametrize(
    ("routes", "is_ready"),
    [
        ({"/ready": says("")}, True),
        ({"/ready": says("", 503)}, False),
        ({}, True),  # no /ready: the list of models stands for it
        ({"/v1/models": says(HTML)}, False),
        ({"/v1/models": says("{}", 500)}, False),
        ({"/v1/models": says(LATIN)}, False),
        ({"/v1/models": says(DEEP)}, False),
        ({"/ready": hangs}, False),
        ({"/ready": hangs_up}, False),
    ],
)
def test_readiness(routes, is_ready):
    async def story(engine, _):
        return await engine.ready()

    assert with_engine(ChatServer(routes=routes), story, ready_timeout_s=0.1) is is_ready


def test_readiness_is_told_whatever_goes_wrong():
    """Even of connections that are closed: a watch may ask once more while the run ends."""

    async def story(engine, _):
        ready = await engine.ready()
        await engine.aclose()
        return ready, await engine.ready()

    assert with_engine(ChatServer(), story) == (True, False)


def test_takes_an_address_with_v1_and_a_name():
    async def story(_, server):
        engine = OpenAIEngine(server.url + "/v1/", name="first")
        await engine.complete(request())
        await engine.aclose()
        return engine.name, OpenAIEngine(server.url + "/v1").name == server.url, server.paths

    assert with_engine(ChatServer(), story) == ("first", True, ["/v1/chat/completions"])


def test_sends_the_history_as_it_is():
    messages = [{"role": "user", "content": "ü\n"}, {"role": "assistant", "content": "", "tool_calls": []}]

    async def story(engine, server):
        await engine.complete(request(messages=messages, sampling={"temperature": 0.5}))
        return server.bodies[0]

    assert with_engine(ChatServer(), story) == {"model": "tiny", "messages": messages, "temperature": 0.5}


class Desk:
    """The part of a context that `react` needs for an answer without tools."""

    plan_first = False

    def __init__(self, engine):
        self.engine, self.prompt = engine, [{"role": "user", "content": "Hi"}]

    async def complete(self, messages):
        return await self.engine.complete(request(messages=messages))


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ([{"type": "text", "text": "4"}, {"type": "thinking", "thinking": []}, {"type": "text", "text": "2"}], "42"),
        ([], ""),
        ("42", "42"),
        (None, ""),
    ],
)
def test_an_answer_in_parts_is_their_text(content, output):
    """The history keeps the parts: the server's cache knows the prompt by them."""

    async def story(engine, _):
        desk = Desk(engine)
        return await react(None, desk), desk.prompt[-1]["content"]

    told = says(json.dumps({"choices": [{"message": {"content": content}}]}))
    assert with_engine(ChatServer(told), story) == (output, "" if content is None else content)
