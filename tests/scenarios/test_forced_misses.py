"""What our own pauses, resumes and lost engines make conversations miss is not the limit's fault, of an agent with several as of one with one."""

import asyncio

from stage import Stage, after, fan, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineDown


def server():
    """Each call of an agent's, a turn and a tool, takes three seconds."""
    return ScriptedEngine(turns(*["once"] * 9), delay_s=2.0)


def stage(engine, count=1, **more):
    return Stage(engine, tasks(count), agents={"fan": fan(4, "once")}, agent="fan", **more)


def forced(records, rollout):
    """Of its replies among these, by conversation: whether its misses are put down to something else than the limit."""
    found = {}
    for x in records:
        if isinstance(x, r.ReplyReceived) and x.rollout == rollout:
            branch = next(name for name in found if x.after in found[name][0]) if x.base else x.n
            calls, told = found.setdefault(branch, ([], []))
            calls.append(x.n)
            told.append(x.after_pause)
    return [told for _, told in found.values()]


async def shrink_for_a_while(stage):
    await asyncio.sleep(1.0)
    stage.runner.steer(stage.runner.steering.nudged(-24))
    await asyncio.sleep(15.0)
    stage.runner.steer(stage.runner.steering.reset())


def test_after_a_pause_the_first_call_of_each_conversation_is_forced():
    done = stage(server(), 2, controller="fixed:2").run(shrink_for_a_while)
    (back,) = done.of(r.RolloutReturned)
    assert (back.rollout, back.paused_s) == ("t1#0", 9.0)
    assert forced(done.records, "t0#0") == [[False] * 4] * 3
    assert forced(done.records, "t1#0") == [[False, True, False, False]] * 3
    assert {x.rollout: x.paused_s for x in done.of(r.RolloutFinished)} == {"t0#0": 0.0, "t1#0": 9.0}
    samples = done.of(r.Sampled)
    told = [x for x in done.of(r.ReplyReceived) if not x.after_pause]
    assert sum(x.missed_tokens for x in samples if x.missed_tokens) == sum(x.missed_tokens for x in told)


def test_so_is_that_of_one_that_was_in_a_tool_call_meanwhile():
    """Its second conversation comes to no boundary in the pause of the first."""

    async def two(task, ctx):
        async def slow():
            messages = [{"role": "user", "content": "slow"}]
            messages.append((await ctx.complete(messages)).message)
            messages += [(await ctx.call("look", {})).message for _ in range(20)]
            await ctx.complete(messages)

        await asyncio.gather(slow(), fan(2, "once")(task, ctx))

    done = stage(server(), 2, controller="fixed:2")
    done.agents["fan"] = two
    done.run(shrink_for_a_while)
    assert [x.rollout for x in done.of(r.RolloutReturned)] == ["t1#0"]
    assert forced(done.records, "t1#0") == [[False, True]] * 4


def test_a_call_that_was_under_way_all_through_a_pause_is_not_forced():
    """Nor is the next in its conversation, whose KV it has kept in use."""

    async def two(task, ctx):
        async def branch(name):
            messages = [{"role": "user", "content": name}]
            for _ in range(3):
                messages.append((await ctx.complete(messages)).message)

        await asyncio.gather(branch("long"), branch("short"))

    engine = ScriptedEngine(turns(*["once"] * 9), delay_s=lambda request: 30.0 if request.n == 3 else 2.0)
    done = stage(engine, 2, controller="fixed:2")
    done.agents["fan"] = two

    async def shrink(stage):
        await asyncio.sleep(2.0)
        await shrink_for_a_while(stage)

    done.run(shrink)
    assert [x.rollout for x in done.of(r.RolloutReturned)] == ["t1#0"]
    assert forced(done.records, "t1#0") == [[False, False, False], [False, False, True]]


def test_resumed_the_first_call_of_each_conversation_is_forced():
    begun = stage(server()).run(after(7.5, stop))
    before = len(begun.records)
    begun.engine = server()
    begun.run()
    assert forced(begun.records[:before], "t0#0") == [[False] * 2] * 3
    assert [x[2:] for x in forced(begun.records, "t0#0")] == [[True, False]] * 3


def test_when_an_engine_has_returned_the_first_call_of_each_conversation_is_forced():
    class Flaky(ScriptedEngine):
        async def complete(self, request):
            if not self.is_ready:
                raise EngineDown("refused")
            return await super().complete(request)

    engine = Flaky(turns(*["once"] * 9), delay_s=2.0)

    async def away(_):
        for is_ready in (False, True):
            await asyncio.sleep(2.5 if not is_ready else 20.0)
            engine.is_ready = is_ready

    done = stage(engine).run(away)
    assert len(done.of(r.EngineReturned)) == 1
    assert forced(done.records, "t0#0") == [[False, True, False, False]] * 3
