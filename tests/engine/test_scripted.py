import asyncio

import pytest
from chat_server import request

from concur_batch.engine.base import Engine, EngineStats
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineBusy, EngineFailed, EngineRefused
from concur_batch.virtual import run_virtual


def test_says_what_it_was_given_in_order_and_then_refuses():
    async def story():
        engine: Engine = ScriptedEngine([reply("a"), EngineBusy("wait"), reply(None, ("look", {"x": 1}))])
        first = await engine.complete(request(1))
        with pytest.raises(EngineBusy, match="wait"):
            await engine.complete(request(2))
        third = await engine.complete(request(3))
        with pytest.raises(EngineRefused, match="no more outcomes"):
            await engine.complete(request(4))
        return first.message, third.message, third.finish_reason, [asked.step for asked in engine.requests]

    call = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
    assert run_virtual(story()) == (
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        "tool_calls",
        [1, 2, 3, 4],
    )


def test_asks_a_function_and_takes_its_time():
    async def story():
        engine = ScriptedEngine(lambda asked: reply(f"step {asked.step}"), delay_s=lambda asked: float(asked.step))
        replies = await asyncio.gather(*(engine.complete(request(step)) for step in (3, 1, 2)))
        return [each.message["content"] for each in replies], engine.most_in_flight, asyncio.get_running_loop().time()

    assert run_virtual(story()) == (["step 3", "step 1", "step 2"], 3, 3.0)


def test_notes_what_is_done_to_it():
    async def story():
        engine = ScriptedEngine(lambda _: reply(), delay_s=60.0, stats=EngineStats(locked=0.5))
        call = asyncio.create_task(engine.complete(request()))
        await asyncio.sleep(1.0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await engine.abort("r")
        await engine.close_session("s")
        await engine.aclose()
        return engine, await engine.stats(), await engine.ready()

    engine, stats, is_ready = run_virtual(story())
    assert (engine.cancelled, engine.aborted, engine.closed_sessions, engine.is_closed) == (["t#0/1"], ["r"], ["s"], True)
    assert (stats.locked, is_ready, engine.in_flight) == (0.5, True, 0)


def test_statistics_may_fail_or_be_made():
    async def story():
        with pytest.raises(EngineFailed):
            await ScriptedEngine(stats=EngineFailed("no")).stats()
        return await ScriptedEngine(stats=lambda: EngineStats(locked=0.1)).stats()

    assert run_virtual(story()).locked == 0.1
