"""Agents that cancel their own model call while it waits in a pause, and go on with something else."""

import asyncio

from stage import Stage, tasks, turns

from concur_batch import records as r
from concur_batch.agent.replay import History
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.results.summary import summarise
from concur_batch.state import fold


async def impatient(task, ctx):
    """Its second call waits for three seconds at most; then it works for ten, and asks again."""
    messages = ctx.prompt
    messages.append((await ctx.complete(messages)).message)
    try:
        async with asyncio.timeout(3.0):
            messages.append((await ctx.complete(messages)).message)
    except TimeoutError:
        messages += [(await ctx.call("look", {"n": n})).message for n in range(10)]
        messages.append((await ctx.complete(messages)).message)
    return "done"


async def steady(task, ctx):
    messages = ctx.prompt
    for _ in range(9):
        messages.append((await ctx.complete(messages)).message)
    return "done"


def stage(agent):
    """The first task's agent is steady, the others' are like this."""
    job = [*tasks(1, agent="steady"), *tasks(4)[1:]]
    engine = ScriptedEngine(turns(*["look"] * 30), delay_s=2.5)
    return Stage(engine, job, controller="fixed:4", agents={"steady": steady, "a": agent}, agent="a")


async def shrink(stage):
    """To one agent, while all are in their first calls."""
    await asyncio.sleep(1.0)
    stage.runner.steer(stage.runner.steering.nudged(-24))


def test_it_is_counted_and_goes_on_only_when_it_is_let_in_again():
    seen = []

    async def watch(stage):
        await shrink(stage)
        while True:
            await asyncio.sleep(1.0)
            state, gate = fold(stage.records), stage.runner._lanes[0].gate
            assert (state.active, state.paused, len(state.live)) == (gate.active, gate.paused, gate.begun)
            seen.append((gate.active, gate.paused, gate.begun))

    done = stage(impatient).run(watch)
    assert done.complete
    assert {(1, 3, 4), (1, 0, 4)} < set(seen)  # all have paused, and then given it up
    assert {x.reason for x in done.of(r.RolloutPaused)} == {"limit"}  # none was in a tool call for long
    assert max(active for active, paused, _ in seen if paused) == 1
    given_up, back = ([x for x in done.of(r.RolloutReturned) if x.slot is slot] for slot in (False, True))
    assert [(x.t, x.paused_s) for x in given_up] == [(5.5, 3.0)] * 3
    assert [x.t for x in back] == [22.5, 25.0, 27.5]  # one after the other
    paused = {x.rollout: sum(y.paused_s for y in done.of(r.RolloutReturned, x.rollout)) for x in done.of(r.RolloutFinished)}
    assert {x.rollout: x.paused_s for x in done.of(r.RolloutFinished)} == paused
    assert summarise(fold(done.records))["time"]["seconds"]["paused_s"] == sum(paused.values())


def test_what_it_does_then_counts_against_its_time_and_the_pause_does_not():
    async def meanwhile(stage):
        await shrink(stage)
        await asyncio.sleep(9.0)
        stage.runner.stop()

    history = History()
    for x in stage(impatient).run(meanwhile).records:
        history.apply(x)
    history.close()
    past = history.unfinished["t1#0"]
    assert (past.wall_s, past.paused_s, past.used_s) == (9.5, 3.0, 6.5)  # up to its last record


def test_where_another_of_its_calls_waits_on_the_pause_goes_on_as_one():
    async def half_patient(task, ctx):
        messages = ctx.prompt
        messages.append((await ctx.complete(messages)).message)

        async def once(within_s):
            async with asyncio.timeout(within_s):
                await ctx.complete(messages)

        await asyncio.gather(once(3.0), once(None), once(4.0), return_exceptions=True)
        return "done"

    done = stage(half_patient).run(shrink)
    for x in done.of(r.RolloutFinished):
        pauses, backs = done.of(r.RolloutPaused, x.rollout), done.of(r.RolloutReturned, x.rollout)
        assert len(pauses) == len(backs) == (x.rollout != "t0#0")
        assert all(back.slot and back.paused_s == back.t - pause.t > 4.0 for pause, back in zip(pauses, backs, strict=True))
        assert x.paused_s == sum(back.paused_s for back in backs)


def test_a_stop_gives_no_pause_up():
    async def meanwhile(stage):
        await shrink(stage)
        await asyncio.sleep(3.0)
        stage.runner.stop()

    done = stage(impatient).run(meanwhile)
    assert len(done.of(r.RolloutPaused)) == 3
    assert done.of(r.RolloutReturned) == []
    assert fold(done.records).paused == 3
