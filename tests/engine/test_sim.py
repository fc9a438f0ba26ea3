import asyncio

import pytest
from chat_server import request
from simulated import core

from concur_batch.engine.sim import SimEngine
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused
from concur_batch.sim.tokens import marker
from concur_batch.task import ScriptedTurn
from concur_batch.virtual import run_virtual


def engine(capacity=100_000, speed=1.0, **options):
    """100 tokens of prefill a second; a decode step takes 0.9 s and 0.1 s per request."""
    return SimEngine(core(capacity, **options), speed=speed)


def prompt(tokens, key="p"):
    return [{"role": "user", "content": marker(tokens, key)}]


def turn(tokens):
    return ScriptedTurn(tokens=tokens)


async def timed(sim, asked):
    started = asyncio.get_running_loop().time()
    reply = await sim.complete(asked)
    return reply, asyncio.get_running_loop().time() - started


def test_replays_text_and_calls():
    calls = ({"name": "look", "arguments": {"at": 1}}, {"name": "odd", "arguments": "{not json"})
    asked = request(step=3, turn=ScriptedTurn(content="Well.", tool_calls=calls))

    async def story():
        return await engine().complete(asked), await engine().complete(asked)

    reply, again = run_virtual(story())
    assert reply.message == {
        "role": "assistant",
        "content": "Well.",
        "tool_calls": [
            {"id": "call_3_0", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
            {"id": "call_3_1", "type": "function", "function": {"name": "odd", "arguments": "{not json"}},
        ],
    }
    assert reply.finish_reason == "tool_calls"
    assert reply == again


@pytest.mark.parametrize(
    ("scripted", "content", "finish_reason"),
    [
        (ScriptedTurn(content="Done."), "Done.", "stop"),
        (ScriptedTurn(content="Cut", finish_reason="length"), "Cut", "length"),
        (ScriptedTurn(), "", "stop"),
    ],
)
def test_replays_answers(scripted, content, finish_reason):
    async def story():
        return await engine().complete(request(turn=scripted))

    reply = run_virtual(story())
    assert (reply.message, reply.finish_reason) == ({"role": "assistant", "content": content}, finish_reason)


def test_an_abort_in_the_script_is_no_answer_as_over_http():
    async def story():
        sim = engine()
        for scripted in (ScriptedTurn(content="Cut", finish_reason="abort"), ScriptedTurn(tokens=3, finish_reason="abort")):
            with pytest.raises(EngineBusy, match="sim: the request was aborted"):
                await sim.complete(request(turn=scripted))
        return await sim.complete(request(turn=turn(3)))

    assert run_virtual(story()).finish_reason == "stop"


def test_a_count_of_tokens_stands_behind_a_short_marker():
    async def story():
        return await engine().complete(request(turn=turn(5000)))

    reply = run_virtual(story())
    assert reply.completion_tokens == 5000
    assert reply.message["content"] == marker(5000, "t#0/1")


def test_never_invents_an_answer():
    async def story():
        await engine().complete(request(step=2))

    with pytest.raises(EngineRefused, match=r"t#0: .* no turn for step 2; lengthen the script, or name a model server"):
        run_virtual(story())


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"messages": prompt(900), "turn": turn(1)}, r"The input \(900 tokens\) is longer than the model's context length \(900"),
        (
            {"messages": prompt(890), "turn": turn(50)},
            r"prompt and reply \(890 and 50 tokens\) are longer than .* \(899 tokens\)",
        ),
    ],
)
def test_refuses_what_is_longer_than_the_context(asked, text):
    async def story():
        await engine(context_length=900).complete(request(**asked))

    with pytest.raises(ContextLengthExceeded, match=text):
        run_virtual(story())


def test_a_limit_of_tokens_cuts_the_reply():
    async def story():
        counted = await engine().complete(request(turn=turn(50), sampling={"max_tokens": 20}))
        spoken = await engine().complete(request(turn=ScriptedTurn(content="one two three"), sampling={"max_tokens": 2}))
        return counted, spoken

    counted, spoken = run_virtual(story())
    assert (counted.completion_tokens, counted.finish_reason, counted.message["content"]) == (20, "length", marker(20, "t#0/1"))
    assert (spoken.completion_tokens, spoken.finish_reason, spoken.message["content"]) == (2, "length", "one two ")


def test_a_turn_is_whole_though_more_could_have_followed():
    async def story():
        sim = engine()
        limited = request(turn=turn(50), sampling={"max_tokens": 80, "ignore_eos": True})
        return await sim.complete(limited), await sim.complete(request(turn=turn(50), sampling={"ignore_eos": True}))

    assert [(reply.completion_tokens, reply.finish_reason) for reply in run_virtual(story())] == [(50, "stop"), (50, "stop")]


@pytest.mark.parametrize("speed", [1.0, 7.0])
def test_takes_as_long_as_its_iterations(speed):
    async def story():
        return await timed(engine(speed=speed), request(messages=prompt(200), turn=turn(5)))

    reply, seconds = run_virtual(story())
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (200, 5, 0)
    assert seconds == pytest.approx((200 / 100 + 4 * 1.0) / speed)


def test_a_conversation_hits_what_it_has_left_in_the_cache():
    async def story():
        sim, messages, cached = engine(), prompt(100), []
        for step in (1, 2):
            reply = await sim.complete(request(step, messages=messages, turn=turn(50)))
            messages = [*messages, reply.message, {"role": "user", "content": "more"}]
            cached.append(reply.cached_tokens)
        other = await sim.complete(request(3, messages=prompt(100, "another"), turn=turn(50)))
        return [*cached, other.cached_tokens]

    assert run_virtual(story()) == [0, 149, 0]


def test_offered_tools_are_part_of_the_prompt():
    async def story():
        tools = [{"type": "function", "function": {"name": "look"}}]
        asked = {"messages": [{"role": "user", "content": "abcd"}], "turn": turn(1)}
        sim = engine()
        return [(await sim.complete(request(tools=given, **asked))).prompt_tokens for given in (tools, None, tools)]

    assert run_virtual(story()) == [5 + 12, 5, 5 + 12]


def test_tells_what_a_server_tells_as_late():
    async def story():
        sim = engine(10_000)
        before = await sim.stats()
        call = asyncio.create_task(sim.complete(request(messages=prompt(400), turn=turn(60))))
        readings = []
        for at in (2.0, 5.0, 18.5, 20.5):  # in prefill, after it, before and after the 15th decode step
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            readings.append(await sim.stats())
        await call
        return before, readings, await sim.stats()

    before, readings, after = run_virtual(story())
    assert (before.capacity_tokens, before.locked, before.resident, before.running_requests) == (10_000, 0.0, 0.0, 0)
    assert [x.locked for x in readings] == [0.0, 0.04, 0.04, 0.0415]
    assert [x.epoch for x in readings] == [0.0, 4.0, 4.0, 19.0]
    assert [x.running_requests for x in readings] == [0, 0, 0, 1]
    assert (after.locked, after.resident) == (0.0, pytest.approx(0.0459))
    assert (after.prefill_tokens_total, after.prefill_busy_seconds_total) == (400, 4.0)


def test_an_idle_engine_tells_the_truth_of_now():
    async def story():
        sim = engine()
        await sim.complete(request(turn=turn(1)))
        await asyncio.sleep(100)
        return (await sim.stats()).epoch, asyncio.get_running_loop().time()

    epoch, now = run_virtual(story())
    assert epoch == now


def test_the_old_release_tells_less():
    async def story():
        sim = engine(version="0.5.8")
        await sim.complete(request(turn=turn(1)))
        return sim.capabilities, await sim.stats()

    can, stats = run_virtual(story())
    assert (can.statistics, can.resident, can.version) == ("metrics", False, "0.5.8")
    assert (stats.resident, stats.prefill_busy_seconds_total, stats.epoch) == (None, None, None)


def test_whoever_gives_up_waiting_lets_others_pass():
    async def story():
        sim = engine(1000, max_running_requests=1)
        calls = [
            asyncio.create_task(sim.complete(request(1, request_id=str(i), messages=prompt(100, str(i)), turn=turn(10))))
            for i in range(3)
        ]
        await asyncio.sleep(2.5)
        waiting = len(sim._core.waiting)
        calls[1].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return waiting, asyncio.get_running_loop().time(), sim._core.cache.locked

    assert run_virtual(story()) == (2, pytest.approx(20.0), 0)


def test_a_cancelled_call_frees_its_kv_after_the_step_under_way():
    async def story():
        sim = engine()
        call = asyncio.create_task(sim.complete(request(turn=turn(1000))))
        await asyncio.sleep(2.5)
        call.cancel()
        await asyncio.sleep(2)
        return sim._core.is_idle, sim._core.cache.locked

    assert run_virtual(story()) == (True, 0)


def test_an_aborted_request_is_no_answer():
    async def story():
        sim = engine()
        call = asyncio.create_task(sim.complete(request(turn=turn(10))))
        await asyncio.sleep(0.1)
        await sim.abort("t#0/1")
        await sim.abort("unknown")
        with pytest.raises(EngineBusy, match="aborted"):
            await call
        await sim.close_session("s")
        await sim.aclose()

    run_virtual(story())


def test_says_what_it_is():
    async def story():
        sim = engine(5000, session_cache=True, priority_scheduling=True)
        return await sim.probe(), await sim.ready()

    can, is_ready = run_virtual(story())
    assert (can.kind, can.capacity_tokens, can.statistics, is_ready) == ("sim", 5000, "loads", True)
    assert (can.resident, can.session_close, can.priority, can.speed) == (True, True, True, 1.0)


def test_the_truth_is_told_to_whoever_reports():
    ended = []

    async def story():
        await SimEngine(core(), on_end=ended.append).complete(request(messages=prompt(100), turn=turn(3)))

    run_virtual(story())
    assert [(call.first_token_at, call.retractions) for call in ended] == [(pytest.approx(1.0), 0)]


def test_what_is_held_back_for_a_reply_follows_what_was_asked_for():
    """Of a reply whose length is not told, the scheduler holds back a part of the context for what may come."""

    async def story(sampling):
        sim = engine(1000)
        calls = [
            request(request_id=f"t#{n}/1", messages=prompt(150, f"p{n}"), turn=turn(20), sampling=sampling) for n in range(4)
        ]
        replies = await asyncio.gather(*(sim.complete(call) for call in calls))
        assert {(reply.completion_tokens, reply.finish_reason) for reply in replies} == {(20, "stop")}
        return asyncio.get_running_loop().time()

    together = 6.0 + 19 * (0.9 + 4 * 0.1)  # one prefill batch, and all four in each decode step
    assert run_virtual(story({"max_tokens": 20})) == pytest.approx(together)
    assert run_virtual(story({"ignore_eos": True})) == pytest.approx(together)
    assert run_virtual(story({})) > 1.2 * together
