"""Limits on steps and tokens hold for agents with several calls at once, too, and over a resume."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, after, fan, stop, tasks, turns

from concur_batch import records as r
from concur_batch.control.steering import Steering
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineRefused
from concur_batch.task import Limits


def crowd(count, **gather):
    async def agent(task, ctx):
        asked = (ctx.complete([{"role": "user", "content": f"{i}"}]) for i in range(count))
        await asyncio.gather(*asked, **gather)
        return "done"

    return agent


def engine(delay_s=2.0):
    return ScriptedEngine(lambda request: reply("x", prompt_tokens=90, completion_tokens=10), delay_s=delay_s)


def ends(stage):
    return [(x.status, x.n_steps) for x in stage.of(r.RolloutFinished)]


@pytest.mark.parametrize("controller", ["off", "requests:2", "fixed:1"])
def test_steps_are_no_more_than_allowed(controller):
    stage = Stage(engine(), tasks(2), controller, agents={"c": crowd(40)}, agent="c", limits=Limits(max_steps=5)).run()
    assert ends(stage) == [("max_steps", 5)] * 2
    assert len(stage.engine.requests) == 10


def test_all_that_are_allowed_may_be_made_at_once():
    stage = Stage(engine(), tasks(1), agents={"c": crowd(5)}, agent="c", limits=Limits(max_steps=5)).run()
    assert [(x.status, x.n_steps, x.wall_s) for x in stage.of(r.RolloutFinished)] == [("completed", 5, 2.0)]


def test_a_call_that_fails_is_no_step():
    def outcome(request):
        return EngineRefused("bad") if request.messages[0]["content"] == "0" else reply("x")

    agents = {"c": crowd(6, return_exceptions=True)}
    stage = Stage(ScriptedEngine(outcome, delay_s=2.0), tasks(1), agents=agents, agent="c", limits=Limits(max_steps=5)).run()
    assert [(x.status, x.n_steps, x.wall_s) for x in stage.of(r.RolloutFinished)] == [("completed", 5, 4.0)]


def test_tokens_are_counted_again_when_a_pause_is_over():
    async def sits(task, ctx):
        await asyncio.sleep(20)

    async def uneven(task, ctx):
        async def branch(name, calls):
            messages = [{"role": "user", "content": name}]
            for _ in range(calls):
                messages.append((await ctx.complete(messages)).message)

        await asyncio.gather(branch("quick", 9), branch("slow", 1))

    def delay_s(request):
        return 4.0 if request.messages[0]["content"] == "slow" else 1.0

    job = [*tasks(1, agent="sits"), *tasks(2, agent="uneven")[1:]]
    agents = {"sits": sits, "uneven": uneven}
    stage = Stage(engine(delay_s), job, "fixed:2", agents=agents, limits=Limits(max_total_tokens=200))
    stage.run(after(0.5, lambda stage: stage.runner.steer(Steering(nudges=-8))))  # so that `uneven` pauses, half way
    (end,) = (x for x in stage.of(r.RolloutFinished) if x.rollout == "t1#0")
    assert end.paused_s > 10
    assert (end.status, end.n_steps) == ("token_budget", 2)


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 9.0), max_size=4), st.integers(1, 14), st.integers(0, 3))
def test_a_resumed_rollout_makes_as_many_steps_as_one_that_was_not_interrupted(moments, most, spread):
    def slow():
        return ScriptedEngine(turns("look", "look", "look"), delay_s=lambda q: 1.0 + spread * (len(q.messages[0]["content"]) % 3))

    stage = Stage(slow(), tasks(2), agents={"fan": fan(4, "look")}, agent="fan", limits=Limits(max_steps=most))
    for moment in moments:
        stage.run(after(moment, stop))
    stage.run()
    assert ends(stage) == [("completed", 12) if most >= 12 else ("max_steps", most)] * 2
    assert len(stage.of(r.ReplyReceived)) == 2 * min(most, 12)
