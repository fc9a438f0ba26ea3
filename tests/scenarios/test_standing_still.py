"""An engine that stands still: connections stay open, and nobody answers."""

import asyncio
import dataclasses

import pytest
from stage import Stage, tasks, turns

from concur_batch import records as r
from concur_batch.control.base import EngineStats
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineDown, EngineFailed
from concur_batch.presence import EngineGone
from concur_batch.task import Limits


class Frozen(ScriptedEngine):
    """Stands still from `start` to `end`, seconds; a call that it has not answered within `patience_s` fails."""

    def __init__(self, start, end, patience_s=1800.0, **more):
        super().__init__(turns("once", "once"), capabilities=Capabilities(kind="scripted", models=("m",)), **more)
        self._start, self._end, self._patience_s = start, end, patience_s

    @property
    def is_ready(self):
        return not self._start <= asyncio.get_running_loop().time() < self._end

    @is_ready.setter
    def is_ready(self, _):
        pass

    async def complete(self, request):
        try:
            async with asyncio.timeout(self._patience_s):
                reply = await super().complete(request)
                await self._until_it_goes_on()
                return reply
        except TimeoutError:
            raise EngineFailed("no reply in time") from None

    async def stats(self):
        if not self.is_ready:
            await asyncio.sleep(10)
            raise EngineDown("no statistics")
        return EngineStats(capacity_tokens=10_000, locked=0.1, running_requests=self.in_flight)

    async def _until_it_goes_on(self):
        loop = asyncio.get_running_loop()
        if not self.is_ready:
            await asyncio.sleep(self._end - loop.time())


def test_calls_under_way_are_answered_when_it_goes_on_and_none_is_made_again():
    stage = Stage(Frozen(3.0, 63.0, delay_s=2.0), tasks(6), controller="aimd").run()
    assert stage.complete
    assert len(stage.of(r.ReplyReceived)) == len(stage.engine.requests) == 6 * 3
    assert sum(x.retries for x in stage.of(r.ReplyReceived)) == 0
    assert len(stage.tools.ran) == len(set(stage.tools.ran)) == 6 * 2
    assert len(stage.of(r.EngineLost)) == len(stage.of(r.EngineReturned)) == 1


def test_while_it_stands_still_nothing_is_decided():
    stage = Stage(Frozen(3.0, 63.0, delay_s=2.0), tasks(40), controller="aimd").run()
    away = [x for x in stage.of(r.Decided) if 4.0 < x.t < 63.0]
    before = [x.agents for x in stage.of(r.Decided) if x.t <= 4.0][-1]
    assert {(x.agents, x.reason) for x in away} == {(before, "no-evidence")}
    assert [x.agents for x in stage.of(r.Decided)][-1] >= before


def test_calls_that_run_into_their_time_limit_meanwhile_wait_for_it_like_the_others():
    """Down is not failed, whichever way a call learns of it."""
    stage = Stage(Frozen(3.0, 503.0, patience_s=30.0, delay_s=2.0), tasks(4)).run()
    assert stage.complete
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    assert len(stage.of(r.ReplyReceived)) == 4 * 3


def test_a_call_that_fails_on_an_engine_that_is_there_fails():
    stage = Stage(ScriptedEngine(lambda request: EngineFailed("bad")), tasks(1)).run()
    (finished,) = stage.of(r.RolloutFinished)
    assert (finished.status, finished.error.error_class) == ("error", "engine")


def test_the_wait_for_it_is_not_the_agents_time():
    stage = Stage(Frozen(3.0, 303.0, delay_s=2.0), tasks(2), limits=Limits(timeout_s=40.0)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}


def test_when_it_is_given_up_the_run_ends_though_calls_are_under_way():
    stage = Stage(Frozen(3.0, 1e9, delay_s=2.0), tasks(4), wait_s=100.0)
    with pytest.raises(EngineGone):
        stage.run()
    assert stage.of(r.RolloutFinished) == []
    assert len(stage.engine.cancelled) == 0
    assert stage.of(r.DrainStarted)[0].t < 200
    assert stage.of(r.Decided)[-1].t < 200  # nothing went on after it

    stage.engine = ScriptedEngine(turns("once", "once"))
    stage.run()
    assert stage.complete
    assert len(stage.of(r.ReplyReceived)) == 4 * 3


def test_a_drain_does_not_wait_for_an_engine_that_is_away():
    async def meanwhile(stage):
        await asyncio.sleep(60.0)
        stage.runner.drain("SIGINT")

    stage = Stage(Frozen(3.0, 1e9, delay_s=2.0), tasks(4)).run(meanwhile)
    assert not stage.complete
    assert stage.of(r.Decided)[-1].t < 70


def test_a_rollout_whose_time_is_up_while_it_is_found_away_hides_its_return_from_nobody():
    """Its last call ends slowly, since what stands still does not answer an abort either."""

    class SlowToLeave(Frozen):
        async def complete(self, request):
            try:
                return await super().complete(request)
            except asyncio.CancelledError:
                await asyncio.sleep(5.0)
                raise

    job = [dataclasses.replace(task, limits=Limits(timeout_s=4.0 + i / 2)) if i < 4 else task for i, task in enumerate(tasks(8))]
    stage = Stage(SlowToLeave(3.0, 63.0, delay_s=2.0), job).run()
    assert len(stage.of(r.EngineReturned)) == 1
    assert stage.complete
    assert [x.status for x in stage.of(r.RolloutFinished)].count("completed") >= 4


def test_a_watch_that_fails_ends_the_run_resumable():
    class Lying(ScriptedEngine):
        async def ready(self):
            raise ValueError("cannot tell")

    def outcome(request):
        return EngineDown("reset") if len(stage.engine.requests) == 3 else turns("once")(request)

    stage = Stage(Lying(outcome, delay_s=2.0), tasks(2))
    with pytest.raises(EngineGone, match="cannot tell"):
        stage.run()
    stage.engine = ScriptedEngine(turns("once"))
    stage.run()
    assert stage.complete


def test_a_proxy_that_answers_for_an_engine_that_is_away_fails_nobody():
    """It has no statistics whose loss could tell; what fails for good is looked at before it is believed."""

    class Proxied(Frozen):
        async def complete(self, request):
            if not self.is_ready:
                raise EngineFailed("HTTP 502")
            return await ScriptedEngine.complete(self, request)

        async def stats(self):
            return EngineStats()

    stage = Stage(Proxied(3.0, 303.0, delay_s=2.0), tasks(5)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    assert len(stage.of(r.EngineLost)) == len(stage.of(r.EngineReturned)) == 1
