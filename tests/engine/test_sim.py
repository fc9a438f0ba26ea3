import asyncio

import pytest
from chat_server import request

from concur_batch.engine.sim import SimEngine, Speed
from concur_batch.engine.tokens import count_message
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused
from concur_batch.task import ScriptedTurn
from concur_batch.virtual import run_virtual

ROUND = Speed(capacity_tokens=1000, context_length=900, prefill_tokens_per_s=100.0, step_s=0.9, step_per_request_s=0.1)


def prompt(tokens):
    return [{"role": "user", "content": "abcd" * (tokens - 4)}]


def turn(tokens):
    return ScriptedTurn(tokens=tokens)


async def timed(engine, asked):
    started = asyncio.get_running_loop().time()
    reply = await engine.complete(asked)
    return reply, asyncio.get_running_loop().time() - started


def test_replays_text_and_calls():
    calls = ({"name": "look", "arguments": {"at": 1}}, {"name": "odd", "arguments": "{not json"})
    asked = request(step=3, turn=ScriptedTurn(content="Well.", tool_calls=calls))

    async def story():
        engine = SimEngine()
        return await engine.complete(asked), await SimEngine().complete(asked)

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
    reply = run_virtual(SimEngine().complete(request(turn=scripted)))
    assert (reply.message, reply.finish_reason) == ({"role": "assistant", "content": content}, finish_reason)


def test_a_count_of_tokens_stands_behind_a_short_marker():
    reply = run_virtual(SimEngine().complete(request(turn=turn(5000))))
    assert reply.completion_tokens == 5000
    assert len(reply.message["content"]) < 40
    assert count_message(reply.message) == 5000 + 4


def test_never_invents_an_answer():
    with pytest.raises(EngineRefused, match=r"t#0: .* no turn for step 2; lengthen the script, or name a model server"):
        run_virtual(SimEngine().complete(request(step=2)))


def test_refuses_what_is_longer_than_the_context():
    with pytest.raises(ContextLengthExceeded, match=r"900 tokens\) is longer than the context \(900"):
        run_virtual(SimEngine(speed=ROUND).complete(request(messages=prompt(900), turn=turn(1))))


def test_takes_as_long_as_prefill_and_decoding():
    async def story(times):
        return await timed(SimEngine(speed=ROUND, times=times), request(messages=prompt(200), turn=turn(5)))

    reply, seconds = run_virtual(story(1.0))
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (200, 5, 0)
    assert seconds == pytest.approx(200 / 100 + 5 * 1.0)
    assert run_virtual(story(7.0))[1] == pytest.approx(1.0)


def test_prefills_one_after_the_other_and_slows_with_company():
    async def story():
        engine = SimEngine(speed=ROUND)
        calls = [timed(engine, request(i, rollout=f"t#{i}", messages=prompt(100), turn=turn(10))) for i in range(2)]
        return [seconds for _, seconds in await asyncio.gather(*calls)]

    assert run_virtual(story()) == pytest.approx([1 + 10 * 1.0, 2 + 10 * 1.1])


def test_an_agents_own_history_always_hits():
    async def story():
        engine, messages = SimEngine(), prompt(100)
        cached = []
        for step in (1, 2):
            reply = await engine.complete(request(step, messages=messages, turn=turn(50), session_id="s"))
            messages = [*messages, reply.message, {"role": "user", "content": "more"}]
            cached.append(reply.cached_tokens)
        other = await engine.complete(request(3, rollout="other#0", messages=messages, turn=turn(50)))
        await engine.close_session("s")
        closed = await engine.complete(request(4, messages=messages, turn=turn(50), session_id="s"))
        return [*cached, other.cached_tokens, closed.cached_tokens]

    assert run_virtual(story()) == [0, 150, 0, 0]


def test_an_unchanged_prompt_still_computes_one_token():
    async def story():
        engine = SimEngine()
        await engine.complete(request(messages=prompt(10), turn=turn(50)))
        return (await engine.complete(request(messages=prompt(10), turn=turn(50)))).cached_tokens

    assert run_virtual(story()) == 9


def test_offered_tools_are_part_of_the_prompt():
    async def story():
        tools = [{"type": "function", "function": {"name": "look"}}]
        asked = {"messages": prompt(10), "turn": turn(1)}
        engine = SimEngine()
        return [(await engine.complete(request(tools=given, **asked))).prompt_tokens for given in (tools, None, tools)]

    with_tools, without, again = run_virtual(story())
    assert (without, with_tools, again) == (10, 10 + 12, 10 + 12)


def test_reports_load_and_lets_nobody_in_who_does_not_fit():
    async def story():
        engine = SimEngine(speed=ROUND)
        calls = [
            asyncio.create_task(engine.complete(request(i, rollout=f"t#{i}", messages=prompt(390), turn=turn(10))))
            for i in range(3)
        ]
        await asyncio.sleep(0.1)
        busy = await engine.stats()
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return busy, await engine.stats()

    busy, after = run_virtual(story())
    assert (busy.capacity_tokens, busy.locked, busy.running_requests, busy.queued_requests) == (1000, 0.8, 2, 1)
    assert (after.locked, after.running_requests, after.queued_requests) == (0.0, 0, 0)
    assert (after.prefill_tokens_total, after.prefill_busy_seconds_total) == (3 * 390, pytest.approx(11.7))


def test_whoever_gives_up_waiting_lets_others_pass():
    async def story():
        engine = SimEngine(speed=ROUND)
        first, big, small = (
            asyncio.create_task(engine.complete(request(i, rollout=f"t#{i}", messages=prompt(n), turn=turn(10))))
            for i, n in enumerate((600, 800, 100))
        )
        await asyncio.sleep(0.1)
        waiting = (await engine.stats()).queued_requests
        big.cancel()
        await asyncio.sleep(0.1)
        left = (await engine.stats()).queued_requests
        await asyncio.gather(first, small)
        return waiting, left, (await engine.stats()).locked

    assert run_virtual(story()) == (2, 0, 0.0)


def test_an_aborted_request_is_no_answer():
    async def story():
        engine = SimEngine(speed=ROUND)
        call = asyncio.create_task(engine.complete(request(turn=turn(10))))
        await asyncio.sleep(0.1)
        await engine.abort("t#0/1")
        await engine.abort("unknown")
        with pytest.raises(EngineBusy, match="aborted"):
            await call
        return (await engine.stats()).locked

    assert run_virtual(story()) == 0.0


def test_says_what_it_is():
    async def story():
        engine = SimEngine()
        return await engine.probe(), await engine.ready(), await engine.stats()

    can, is_ready, stats = run_virtual(story())
    assert (can.kind, can.capacity_tokens, can.resident, is_ready) == ("sim", 367_000, False, True)
    assert (stats.capacity_tokens, stats.locked, stats.resident) == (367_000, 0.0, None)
