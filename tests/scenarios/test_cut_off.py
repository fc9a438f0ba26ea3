"""Calls that the end of their rollout cuts off: what they took counts where it belongs, so that the parts add up."""

import asyncio

import pytest
from stage import Opened, Stage, Tools, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineBusy
from concur_batch.results.summary import summarise
from concur_batch.state import fold
from concur_batch.task import Limits

PARTS = ("model_s", "tool_s", "wait_s", "retry_s", "paused_s")
TIMED_OUT = Limits(timeout_s=9.0)


def hangs(request):
    return 60.0


class SlowTools(Tools):
    """A call takes a minute."""

    def open(self, rollout, seed, attempt=1):
        return _Slow(self, rollout)


class _Slow(Opened):
    async def call(self, name, arguments):
        await asyncio.sleep(60.0)


def parts(stage):
    (end,) = stage.of(r.RolloutFinished)
    found = {part: getattr(end, part) for part in PARTS if getattr(end, part)}
    assert sum(found.values()) == pytest.approx(end.wall_s, abs=1e-5)
    told = summarise(fold(stage.records))["time"]["seconds"]
    assert {part: seconds for part, seconds in told.items() if seconds} == pytest.approx(found, abs=1e-5)
    assert end.status == "timeout"
    return found


def test_a_model_call():
    stage = Stage(ScriptedEngine(turns(), delay_s=hangs), tasks(1), limits=TIMED_OUT).run()
    assert parts(stage) == {"model_s": 9.0}


def test_a_tool_call():
    stage = Stage(ScriptedEngine(turns("once"), delay_s=2.0), tasks(1), limits=TIMED_OUT, tools=SlowTools()).run()
    assert parts(stage) == {"model_s": 2.0, "tool_s": 7.0}


def test_between_two_attempts():
    busy = ScriptedEngine(lambda request: EngineBusy("HTTP 429", retry_after=600.0), delay_s=2.0)
    assert parts(Stage(busy, tasks(1), limits=TIMED_OUT).run()) == {"retry_s": 9.0}


def test_in_the_second_attempt():
    outcomes = [EngineBusy("HTTP 429"), reply("late")]
    stage = Stage(ScriptedEngine(outcomes, delay_s=4.0), tasks(1), limits=Limits(timeout_s=6.0)).run()
    (retried,) = stage.of(r.CallRetried)
    assert parts(stage)["retry_s"] == pytest.approx(retried.retry_s + retried.pause_s, abs=1e-5)


def test_behind_the_limit_on_model_calls():
    job = [tasks(1, limits=Limits(timeout_s=90.0))[0], tasks(2, limits=TIMED_OUT)[1]]
    stage = Stage(ScriptedEngine(turns(), delay_s=hangs), job, controller="requests:1").run()
    late = next(x for x in stage.of(r.RolloutFinished) if x.rollout == "t1#0")
    assert (late.status, late.wait_s, late.model_s, late.wall_s) == ("timeout", 9.0, 0.0, 9.0)


def test_one_that_a_stop_cuts_off_counts_once_it_is_made_again():
    stage = Stage(ScriptedEngine(turns("once"), delay_s=hangs), tasks(1), limits=Limits(timeout_s=70.0))
    stage.run(after(5.0, stop))
    assert stage.of(r.RolloutFinished) == []
    stage.run()
    assert parts(stage) == {"model_s": 69.0, "tool_s": 1.0}
