"""What the default policy learns of the time that agents spend in tools, however they call them."""

import asyncio

import pytest
from stage import Stage, Tools, tasks, turns

from concur_batch import records as r
from concur_batch.control.base import EngineStats
from concur_batch.control.cycle import Cycle
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.task import Limits
from concur_batch.toolbox.base import ToolOutput

POOL = 200_000


class Slow(Tools):
    """Every tool takes four seconds."""

    def open(self, rollout, seed, attempt=1):
        opened = super().open(rollout, seed, attempt)

        async def call(name, arguments):
            await asyncio.sleep(4.0)
            return ToolOutput(content="done")

        opened.call = call
        return opened


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch):
    """Of each step, the seconds of model call and tools."""
    found = []
    passed = Cycle.passed

    def remember(cycle, model_s, held_s=0.0, tool_s=0.0):
        found.append((round(model_s, 3), round(tool_s, 3)))
        passed(cycle, model_s, held_s, tool_s)

    monkeypatch.setattr(Cycle, "passed", remember)
    return found


def test_an_agent_that_ends_with_a_tool_has_made_no_step_after_it(steps):
    engine = ScriptedEngine(turns(*["wait"] * 9), delay_s=1.0)
    Stage(engine, tasks(1), controller="forecast", limits=Limits(max_steps=3), tools=Slow()).run()
    assert steps == [(1.0, 4.0)] * 3


def test_tools_one_after_the_other_are_one_step(steps):
    async def agent(task, ctx):
        messages = [{"role": "user", "content": "?"}]
        for _ in range(2):
            messages.append((await ctx.complete(messages)).message)
            messages += [(await ctx.call("look", {"at": tool})).message for tool in range(5)]
        return "done"

    engine = ScriptedEngine(lambda request: reply("?", prompt_tokens=100), delay_s=1.0)
    Stage(engine, tasks(1), controller="forecast", agents={"a": agent}, agent="a", tools=Slow()).run()
    assert steps == [(1.0, 20.0)] * 2


def test_what_an_agent_does_itself_is_no_tool_call_that_takes_long():
    """Its tools take four seconds, and its own work thirty, which is longer than it is worth keeping a slot."""

    async def agent(task, ctx):
        messages = [{"role": "user", "content": "?"}]
        for step in range(12):
            messages.append((await ctx.complete(messages)).message)
            messages.append((await ctx.call("look", {"at": step})).message)
            await asyncio.sleep(30)

    def outcome(request):
        tokens = 300 * len(request.messages)
        return reply("?", prompt_tokens=tokens, cached_tokens=tokens - 300)

    def stats():
        now = asyncio.get_running_loop().time()
        prefilled = {"prefill_tokens_total": int(10_000 * now), "prefill_busy_seconds_total": now / 2}
        return EngineStats(capacity_tokens=POOL, locked=0.5, running_requests=4, **prefilled)

    engine = ScriptedEngine(outcome, delay_s=1.0, stats=stats)
    stage = Stage(engine, tasks(8), controller="forecast", parameters={"harmless": 0.0}, agents={"a": agent}, agent="a")
    stage.tools, stage.pool_tokens = Slow(), POOL
    stage.run()
    assert "step-aside" not in {x.reason for x in stage.of(r.Decided)}
    assert not stage.of(r.RolloutYielded)


@pytest.mark.parametrize("branches", [1, 2])
def test_tools_that_overlap_without_end_are_not_taken_for_one_long_call(branches):
    """Each takes half the time for which it is worth keeping a slot."""

    async def branch(ctx, number):
        await asyncio.sleep(2.5 * number)
        messages = [{"role": "user", "content": f"branch {number}"}]
        for step in range(12):
            messages.append((await ctx.complete(messages)).message)
            messages.append((await ctx.call("once", {"at": [number, step]})).message)

    async def agent(task, ctx):
        await asyncio.gather(*(branch(ctx, number) for number in range(branches)))
        return "done"

    replies = 0

    def outcome(request):
        nonlocal replies
        replies += 1
        tokens = 3_000 + 500 * len(request.messages)
        return reply("?", prompt_tokens=tokens, cached_tokens=tokens - 1_000 if len(request.messages) > 1 else 0)

    def stats():
        """Break-even is at eight seconds."""
        return EngineStats(
            capacity_tokens=POOL,
            locked=0.1,
            running_requests=4,
            prefill_tokens_total=1_000 * replies,
            prefill_busy_seconds_total=0.04 * replies,
        )

    engine = ScriptedEngine(outcome, delay_s=1.0, stats=stats)
    stage = Stage(engine, tasks(60), controller="forecast", agents={"a": agent}, agent="a", tools=Slow(), pool_tokens=POOL).run()
    held_back = [x for x in stage.of(r.Sampled) if x.waiting]
    assert len(held_back) > 60
    assert max(x.committed_tokens for x in held_back) < 1.1 * POOL
