"""Several engines, one of which stays away for good: the others go on with all that is left."""

import asyncio

import pytest
from stage import Flaky, Stage, finals, tasks, turns

from concur_batch import records as r
from concur_batch.control.steering import Steering
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.presence import EngineGone


def pair(since, until):
    """Two engines, the first of which is away from one moment to another."""
    return [
        Flaky(turns("once", "once"), since, until, delay_s=2.0, name="first"),
        Flaky(turns("once", "once"), 1e9, 1e9, delay_s=2.0, name="second"),
    ]


def test_where_one_of_two_engines_stays_away_the_other_does_all_that_is_left():
    """Those who began on the first wait for it; whoever has not begun runs on the second, long after the first was given up."""
    stage = Stage(pair(3.0, 1e9), tasks(40), controller="fixed:4", wait_s=10)
    with pytest.raises(EngineGone, match="first: did not return within 10 s"):
        stage.run()
    ended = {x.rollout for x in stage.of(r.RolloutFinished)}
    begun = {x.rollout: x.engine for x in stage.of(r.RolloutStarted)}
    assert len(begun) == 40
    assert ended == {rollout for rollout, engine in begun.items() if engine == "second"}
    assert len(ended) == 36
    assert [x.cause for x in stage.of(r.DrainStarted)] == ["engine"]
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0)
    stage.run()
    assert len(finals(stage)) == 40


def test_an_engine_that_was_given_up_and_returns_while_others_work_is_used_again():
    stage = Stage(pair(3.0, 40.0), tasks(60), controller="fixed:4", wait_s=10).run()
    assert stage.complete is True
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    (back,) = stage.of(r.EngineReturned)
    assert sum(x.engine == "first" and x.t > back.t for x in stage.of(r.RolloutStarted)) > 4


def test_where_all_engines_stay_away_the_run_ends_when_the_last_is_given_up():
    engines = pair(3.0, 1e9)
    engines[1].since = 8.0
    stage = Stage(engines, tasks(40), controller="fixed:4", wait_s=10)
    with pytest.raises(EngineGone, match="first"):
        stage.run()
    (drained,) = stage.of(r.DrainStarted)
    assert 18.0 < drained.t < 22.0


def test_an_engine_that_nobody_needs_any_more_is_not_waited_for():
    """The second is away, too, when the first is given up; but all of its agents have ended, and everybody has begun."""
    engines = pair(3.0, 1e9)
    engines[1].since = 9.0
    stage = Stage(engines, tasks(8), controller="fixed:4", wait_s=10)
    with pytest.raises(EngineGone, match="first"):
        stage.run()
    assert len(stage.of(r.RolloutFinished)) == 4
    assert {x.engine for x in stage.of(r.EngineLost)} == {"first", "second"}
    assert stage.of(r.DrainStarted)[0].t < 16.0


def test_agents_that_fill_max_agents_on_a_lost_engine_do_not_hold_the_run_for_ever():
    stage = Stage(pair(3.0, 1e9), tasks(8), controller="fixed:4", wait_s=10, max_agents=1)
    with pytest.raises(EngineGone, match="first"):
        stage.run()
    assert stage.of(r.RolloutFinished) == []


def test_where_max_agents_are_there_the_other_engine_goes_on_with_those_that_are_not_on_the_lost_one():
    """An agent leaves its engine a moment before it makes room among all."""
    stage = Stage(pair(3.0, 1e9), tasks(40), wait_s=10, max_agents=5)
    with pytest.raises(EngineGone, match="first"):
        stage.run()
    begun = {x.rollout: x.engine for x in stage.of(r.RolloutStarted)}
    assert len(begun) == 40
    assert {x.rollout for x in stage.of(r.RolloutFinished)} == {x for x, engine in begun.items() if engine == "second"}


def test_while_admission_is_held_an_engine_without_agents_is_not_done():
    async def hold(stage):
        await asyncio.sleep(8)
        stage.runner.steer(Steering(held=True))
        await asyncio.sleep(52)
        assert len(stage.of(r.RolloutFinished)) == 4
        stage.runner.steer(Steering())

    stage = Stage(pair(3.0, 1e9), tasks(40), controller="fixed:4", wait_s=10)
    with pytest.raises(EngineGone, match="first"):
        stage.run(hold)
    assert len(stage.of(r.RolloutFinished)) == 36
