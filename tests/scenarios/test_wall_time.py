"""The limit on wall time: waiting for an engine that is away is nobody's, wherever in it a call waits."""

import asyncio

from stage import Stage, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.control.base import EngineStats
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineFailed
from concur_batch.task import Limits


class Hung(ScriptedEngine):
    """Keeps its connections open and answers nothing between two moments; it tells so when it is asked."""

    def __init__(self, since, until, **more):
        super().__init__(turns(), stats=self._told, **more)
        self._since, self._until = since, until

    def hangs(self):
        return self._since <= asyncio.get_running_loop().time() < self._until

    async def ready(self):
        return not self.hangs()

    async def complete(self, request):
        answer = await super().complete(request)
        while self.hangs():
            await asyncio.sleep(0.5)
        return answer

    def _told(self):
        return EngineFailed("no answer") if self.hangs() else EngineStats()


def test_waiting_for_others_to_be_answered_by_an_engine_that_is_away_is_nobodys_time():
    stage = Stage(Hung(1.0, 101.0, delay_s=2.0), tasks(3), controller="requests:1", limits=Limits(timeout_s=30.0)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    assert max(x.wait_s for x in stage.of(r.ReplyReceived)) > 100


def test_a_branch_that_waits_no_longer_does_not_start_the_clock_for_another():
    async def hedge(task, ctx):
        async def branch(i, patience_s):
            try:
                async with asyncio.timeout(patience_s):
                    return (await ctx.complete([{"role": "user", "content": f"{i}"}])).message["content"]
            except TimeoutError:
                return "late"

        await asyncio.sleep(5)  # until the engine is known to be away
        return " ".join(await asyncio.gather(branch(0, None), branch(1, 2.0)))

    job = [*tasks(1, agent="react"), *tasks(2, agent="hedge")[1:]]
    stage = Stage(Hung(1.0, 101.0, delay_s=2.0), job, agents={"hedge": hedge}, limits=Limits(timeout_s=30.0)).run()
    ends = {x.rollout: (x.status, x.output) for x in stage.of(r.RolloutFinished)}
    assert ends == {"t0#0": ("completed", "answer of t0#0"), "t1#0": ("completed", "answer of t1#0 late")}


async def patient(task, ctx):
    """Each of its tool calls takes longer than it waits."""
    messages = ctx.prompt
    for _ in range(6):
        messages.append((await ctx.complete(messages)).message)
        try:
            async with asyncio.timeout(0.9):
                await ctx.call("look", {})
        except TimeoutError:
            messages.append({"role": "user", "content": "it took too long"})
    return "done"


def test_what_is_waited_for_again_on_resume_does_not_count_however_often_it_is_resumed():
    stage = Stage(ScriptedEngine(turns(), delay_s=0.1), tasks(1), agents={"a": patient}, agent="a", limits=Limits(timeout_s=9.0))
    for moment in (1.5, 2.5, 3.5, 4.5):  # in each a step more; undisturbed it takes six seconds
        stage.run(after(moment, stop))
        assert stage.of(r.RolloutFinished) == []
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert end.status == "completed"
    assert end.wall_s > 10.0
