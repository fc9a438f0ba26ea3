"""Agents that return while calls of theirs are still under way."""

import asyncio
import gc

import pytest
from stage import Opened, Stage, Tools, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineRefused
from concur_batch.toolbox.base import ToolOutput


@pytest.fixture(autouse=True)
def _what_is_left_ends_here():
    """Coroutines that were left where they stand raise when they are collected, which Python 3.11 cannot bear while it compiles (gh-106905)."""
    yield
    gc.collect()


async def returns_at_once(task, ctx):
    ctx.left = asyncio.get_running_loop().create_task(ctx.complete(ctx.prompt))
    return "early"


async def first_reply_wins(task, ctx):
    calls = [asyncio.create_task(ctx.complete(ctx.prompt, temperature=t)) for t in (0.1, 0.9)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    return "first"


async def goes_on_behind(task, ctx):
    async def branch():
        messages = ctx.prompt
        while True:
            messages.append((await ctx.complete(messages)).message)
            await ctx.call("once", {"n": len(messages)})

    ctx.left = asyncio.create_task(branch())
    await asyncio.sleep(2.5)  # it is in a tool call then
    return "behind"


async def one_of_two_fails(task, ctx):
    async def steady():
        messages = ctx.prompt
        for _ in range(5):
            messages.append((await ctx.complete(messages)).message)

    await asyncio.gather(ctx.complete([{"role": "user", "content": "bad"}]), steady())


def some_refused(request):
    return EngineRefused("bad") if request.messages[0]["content"] == "bad" else turns(*["once"] * 9)(request)


@pytest.mark.parametrize("agent", [returns_at_once, first_reply_wins, goes_on_behind, one_of_two_fails])
@pytest.mark.parametrize("controller", ["off", "fixed:2"])
def test_they_keep_no_slot_and_record_nothing_more(agent, controller):
    engine = ScriptedEngine(some_refused, delay_s=lambda request: 1.0 + request.sampling.get("temperature", 0))
    stage = Stage(engine, tasks(6), controller=controller, agents={"a": agent}, agent="a").run()
    assert stage.complete
    assert len(stage.of(r.RolloutFinished)) == 6
    for task in stage.job:
        mine = [x for x in stage.records if getattr(x, "rollout", None) == f"{task.id}#0"]
        assert type(mine[-1]) is r.RolloutFinished
    assert stage.engine.in_flight == stage.tools.running == 0


def test_a_call_made_after_the_end_says_so():
    told = []

    async def late(task, ctx):
        async def branch():
            await asyncio.sleep(1)
            try:
                await ctx.call("once", {})
            except Exception as error:
                told.append(str(error))

        ctx.left = asyncio.create_task(branch())
        return "done"

    async def last(task, ctx):
        await asyncio.sleep(3)

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"late": late}, agent="late")
    stage.job = [*tasks(1), *(task for task in tasks(2, agent="last") if task.index)]
    stage.agents["last"] = last
    stage.run()
    assert told == ["a call was made after the agent had returned; await all that it begins"]
    assert stage.tools.ran == []


class SlowToEnd(Tools):
    """A call takes a second; one that says so, a minute, and three seconds to end once it is cancelled."""

    def open(self, rollout, seed, attempt=1):
        return _SlowToEnd(self, rollout)


class _SlowToEnd(Opened):
    async def call(self, name, arguments):
        try:
            await asyncio.sleep(60.0 if arguments["slow"] else 1.0)
        finally:
            await asyncio.sleep(3.0 if arguments["slow"] else 0.0)
        return ToolOutput(content="")


def test_one_that_an_earlier_process_made_counts_though_it_is_asked_for_after_the_end():
    async def leaves(task, ctx):
        async def branch():
            for turn in range(2):
                await ctx.call("look", {"turn": turn, "slow": False})
                await asyncio.sleep(3.0)

        ctx.left = [asyncio.create_task(branch())]
        reply = await ctx.complete(ctx.prompt)
        ctx.left.append(asyncio.create_task(ctx.call("look", {"slow": True})))
        await asyncio.sleep(0.1)
        return reply.message["content"]

    stage = Stage(ScriptedEngine(turns(), delay_s=60.0), tasks(1), agents={"a": leaves}, agent="a", tools=SlowToEnd())
    stage.run(after(7.0, stop))
    stage.engine = ScriptedEngine(turns(), delay_s=0.5)
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    looks = stage.of(r.ToolFinished)
    assert len(looks) == 2
    assert end.tool_s == pytest.approx(end.cut_off.tool_s + sum(x.seconds for x in looks))


def test_one_that_goes_on_calling_is_slowed_down():
    """It would take all that the process has for itself."""
    tries = []

    async def leaves(task, ctx):
        async def branch():
            while len(tries) < 10_000:
                try:
                    tries.append(await ctx.call("look", {}))
                except BaseException as error:
                    tries.append(error)
                    if asyncio.get_running_loop().time() > 20:
                        return

        ctx.left = asyncio.create_task(branch())
        await asyncio.sleep(2.5)
        return "done"

    async def last(task, ctx):
        await asyncio.sleep(30)

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"leaves": leaves, "last": last}, agent="leaves")
    stage.job = [*tasks(1), *(task for task in tasks(2, agent="last") if task.index)]
    stage.run()
    assert stage.complete
    assert 10 < len(tries) < 30
