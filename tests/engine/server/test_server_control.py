"""Abort, disconnect, flush, pause, sessions, health."""

import asyncio

import pytest
from served import captured, chat, get, post, server, shape

from concur_batch.virtual import run_virtual

FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. "
    "(When there are running or waiting requests, the operation will not be performed.)\n"
)


def running(app, **fields):
    body = chat("x" * 96, **({"max_tokens": 100, "rid": "one"} | fields))
    return asyncio.ensure_future(post(app, "/v1/chat/completions", body))


def requests_of(app):
    core = app.state.core
    return len(core.running), len(core.waiting)


def test_a_victim_of_an_abort_gets_what_has_been_said():
    async def story():
        app = server()
        victim, stream = running(app), running(app, rid="two", stream=True, stream_options={"include_usage": True})
        await asyncio.sleep(20)
        unknown = await post(app, "/abort_request", {"rid": "on"})  # no prefix match
        assert requests_of(app) == (2, 0)
        first = await post(app, "/abort_request", {"rid": "one"})
        answer = await victim
        await post(app, "/abort_request", {"abort_all": True})
        return unknown, first, answer, await stream, requests_of(app)

    unknown, first, answer, stream, left = run_virtual(story())
    assert (unknown.status, unknown.text) == (first.status, first.text) == (200, "")
    assert shape(answer.json) == shape(captured("abort.json"))
    choice = answer.json["choices"][0]
    assert choice["finish_reason"] == "abort"
    assert len(choice["message"]["content"]) == answer.json["usage"]["completion_tokens"] > 10
    assert stream.events[-2]["choices"][0]["finish_reason"] == "abort"
    assert stream.events[-1]["usage"]["completion_tokens"] > 10
    assert left == (0, 0)


def test_who_is_aborted_while_waiting_has_said_nothing():
    async def story():
        app = server(capacity=300)
        first, second = running(app, ignore_eos=True), running(app, rid="two", ignore_eos=True)
        await asyncio.sleep(2)
        assert requests_of(app) == (1, 1)
        await post(app, "/abort_request", {"rid": "two"})
        answer = await second
        first.cancel()
        return answer.json

    reply = run_virtual(story())
    assert (reply["choices"][0]["finish_reason"], reply["choices"][0]["message"]["content"]) == ("abort", "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after_s", [0.5, 20.25])
def test_a_client_that_goes_away_ends_its_request(stream, after_s):
    async def story():
        app, gone = server(), asyncio.Event()
        body = chat("x" * 96, max_tokens=100, stream=stream)
        asked = asyncio.ensure_future(post(app, "/v1/chat/completions", body, gone=gone))
        await asyncio.sleep(after_s)
        before = requests_of(app), len(app.state.service._calls)
        gone.set()
        await asked
        await asyncio.sleep(2.0)  # the iteration under way, and the last step
        app.state.pump.settle()
        return before[1], requests_of(app), app.state.core.cache.locked, app.state.service._calls

    assert run_virtual(story()) == (1, (0, 0), 0, {})


def test_flush_waits_for_nobody_unless_told_to():
    async def story():
        app = server()
        asked = running(app, max_tokens=10)
        await asyncio.sleep(2)
        busy = await post(app, "/flush_cache", None)
        loop = asyncio.get_running_loop()
        tired = await get(app, "/flush_cache?timeout=1")
        patient, time = await get(app, "/flush_cache?timeout=60"), loop.time()
        await asked
        idle = await get(app, "/flush_cache")
        wrong = await get(app, "/flush_cache?timeout=-1")
        return busy, tired, patient, time, idle, wrong, app.state.core.cache.evictable

    busy, tired, patient, time, idle, wrong, cached = run_virtual(story())
    assert (busy.status, busy.text) == (400, "Flush cache failed.\n")
    assert (tired.status, tired.text) == (400, "Timed out waiting for idle state.")
    assert (patient.status, patient.text) == (idle.status, idle.text) == (200, FLUSHED)
    assert time == pytest.approx(10.0, abs=0.1)
    assert wrong.status == 400
    assert cached == 0


@pytest.mark.parametrize("mode", ["in_place", "retract"])
def test_pause_and_continue(mode):
    async def story():
        app = server()
        asked = running(app, max_tokens=10)
        await asyncio.sleep(3)
        paused = await post(app, "/pause_generation", {"mode": mode})
        await asyncio.sleep(100)
        held = requests_of(app)
        resumed = await post(app, "/continue_generation", {})
        return paused, held, resumed, await asked

    paused, held, resumed, answer = run_virtual(story())
    assert paused.json == {"message": "Generation paused successfully.", "status": "ok"}
    assert resumed.json == {"message": "Generation continued successfully.", "status": "ok"}
    assert held == ((1, 0) if mode == "in_place" else (0, 1))
    assert answer.json["usage"]["completion_tokens"] == 10


def test_pause_ends_everything_unless_told_otherwise():
    async def story():
        app = server()
        asked = running(app)
        await asyncio.sleep(3)
        await post(app, "/pause_generation", {})
        answer = await asked
        wrong = await post(app, "/pause_generation", {"mode": "nap"})
        return answer.json["choices"][0]["finish_reason"], wrong.status

    assert run_virtual(story()) == ("abort", 400)


def test_close_session_is_always_well():
    async def story():
        app = server(session_cache=True)
        await running(app, session_id="s", max_tokens=2)
        core, tagged = app.state.core, []
        end = core.end_session
        core.end_session = lambda *arguments: tagged.append(end(*arguments)) or tagged[-1]
        known = await post(app, "/close_session", {"session_id": "s"})
        again = await post(app, "/close_session", {"session_id": "s"})
        return known, again, await post(app, "/close_session", {}), tagged

    known, again, missing, tagged = run_virtual(story())
    assert (known.status, known.text) == (again.status, again.text) == (200, "")
    assert missing.status == 400
    assert tagged[0] > 0 == tagged[1]


def test_health_takes_a_second_and_a_token_of_an_idle_engine():
    async def story():
        app, loop = server(), asyncio.get_running_loop()
        started = loop.time()
        idle = await get(app, "/health")
        took = loop.time() - started
        iterations = app.state.core.iterations
        asked = running(app)
        await asyncio.sleep(1.5)
        busy = await get(app, "/health_generate")
        in_flight = requests_of(app)
        metrics = (await get(app, "/metrics")).text
        await post(app, "/pause_generation", {"mode": "in_place"})
        await asyncio.sleep(2)  # the iteration under way
        started = loop.time()
        paused = await get(app, "/health")
        asked.cancel()
        return idle.status, took, iterations, busy.status, in_flight, metrics, paused.status, loop.time() - started

    idle, took, iterations, busy, in_flight, metrics, paused, waited = run_virtual(story())
    assert (idle, took, iterations) == (200, pytest.approx(1.0), 1)
    assert (busy, in_flight) == (200, (1, 0))
    assert "sglang:num_requests_total" not in metrics
    assert (paused, waited) == (503, pytest.approx(20.0))


def test_ready_costs_nothing():
    async def story():
        app = server()
        answer = await get(app, "/ready")
        return answer.status, answer.text, app.state.core.iterations

    assert run_virtual(story()) == (200, "", 0)
