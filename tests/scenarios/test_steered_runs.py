"""A person at the dashboard: admission held and let go, limits nudged, in the middle of whole runs."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import core
from stage import Stage, tasks, turns

from concur_batch import records as r
from concur_batch.control.steering import Steering
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks as simulated_tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.state import fold
from concur_batch.toolbox.recorded import RecordedTools

POLICIES = ["aimd", "fixed:4", "accounting", "turnover", "forecast"]
NO_LIMIT_ON_AGENTS = ["off", "requests:3"]  # they have let everybody in before anybody could press a key
FEW = {"first": 4, "fallback": 4}
PARAMETERS = {"aimd": FEW, "forecast": FEW, "accounting": FEW, "turnover": FEW}


def scripted(controller, count=20, **more):
    engine = ScriptedEngine(turns("look", "look", "look"), delay_s=1.0)
    return Stage(engine=engine, job=tasks(count), controller=controller, parameters=PARAMETERS.get(controller, {}), **more)


def held_between(start, stop, then=lambda steering: steering):
    async def hand(stage):
        await asyncio.sleep(start)
        stage.runner.steer(stage.runner.steering.toggled())
        await asyncio.sleep(stop - start)
        stage.runner.steer(then(stage.runner.steering.toggled()))

    return hand


def admitted(stage, start, stop):
    """Who was let in within these seconds, new or paused."""
    return [x for x in [*stage.of(r.RolloutStarted), *stage.of(r.RolloutReturned)] if start < x.t < stop]


@pytest.mark.parametrize("controller", POLICIES)
def test_held_nobody_is_let_in_the_active_end_and_then_it_goes_on_to_the_end(controller):
    stage = scripted(controller).run(held_between(3.5, 500.0))
    assert stage.complete
    assert len(stage.of(r.RolloutFinished)) == 20
    assert not admitted(stage, 3.5, 500.0)
    assert [x for x in stage.of(r.RolloutStarted) if x.t >= 500.0]
    assert [(x.held, x.factor) for x in stage.of(r.Steered)] == [(True, 1.0), (False, 1.0)]


@pytest.mark.parametrize("controller", NO_LIMIT_ON_AGENTS)
def test_where_everybody_is_in_a_hold_changes_nothing(controller):
    held, plain = scripted(controller).run(held_between(3.5, 500.0)), scripted(controller).run()
    assert [x for x in held.records if not isinstance(x, r.Steered)] == plain.records


@pytest.mark.parametrize("controller", POLICIES)
def test_a_run_of_which_nobody_is_left_stands_still_and_can_be_drained(controller):
    async def hold_for_good(stage):
        await asyncio.sleep(3.5)
        stage.runner.steer(Steering(held=True))
        await asyncio.sleep(3600.0)
        stage.runner.drain("q")

    stage = scripted(controller).run(hold_for_good)
    assert not stage.complete
    assert max(x.t for x in stage.of(r.RolloutFinished)) < 100
    again = Stage(engine=stage.engine, job=stage.job, controller=controller, records=stage.records).run()
    assert again.complete
    assert len({x.rollout for x in again.of(r.RolloutFinished)}) == 20


@pytest.mark.parametrize(("nudges", "most"), [(7, 7), (-7, 2), (-24, 1)])
def test_nudges_move_a_fixed_window_at_once(nudges, most):
    async def hand(stage):
        await asyncio.sleep(3.5)
        for _ in range(abs(nudges)):
            stage.runner.steer(stage.runner.steering.nudged(1 if nudges > 0 else -1))

    stage = scripted("fixed:4").run(hand)
    later = [x.active for x in stage.of(r.Sampled) if 10 < x.t < 15]
    assert max(later) == most
    assert {x.agents for x in stage.of(r.Decided)} == {4}  # what is decided is told as it is, and the factor beside it
    assert stage.of(r.Steered)[-1].factor == pytest.approx(1.1**nudges, abs=1e-4)
    assert stage.complete


def test_as_many_down_as_up_leaves_nothing():
    async def hand(stage):
        await asyncio.sleep(3.5)
        for by in (1, 1, -1, -1):
            stage.runner.steer(stage.runner.steering.nudged(by))

    stage = scripted("fixed:4").run(hand)
    assert stage.of(r.Steered)[-1].factor == 1.0
    assert {x.active for x in stage.of(r.Sampled) if 6 < x.t < 12} == {4}


def test_a_drain_leaves_nothing_to_steer_and_a_resume_starts_afresh():
    async def hand(stage):
        await asyncio.sleep(3.5)
        stage.runner.steer(Steering(held=True, nudges=2))
        stage.runner.drain("q")
        stage.runner.steer(Steering())

    stage = scripted("fixed:4").run(hand)
    assert not stage.complete
    assert len(stage.of(r.Steered)) == 1
    assert fold(stage.records).steered == stage.of(r.Steered)[0]
    before = len(stage.records)
    again = Stage(engine=stage.engine, job=stage.job, controller="fixed:4", records=stage.records).run()
    assert again.complete
    assert not [x for x in again.records[before:] if isinstance(x, r.Steered)]
    assert fold(again.records).steered is None
    assert max(x.active for x in again.records[before:] if isinstance(x, r.Sampled)) == 4


@settings(max_examples=40)
@given(
    st.sampled_from(POLICIES + NO_LIMIT_ON_AGENTS),
    st.lists(st.tuples(st.floats(0.1, 20), st.sampled_from("p+-0")), max_size=25),
)
def test_whatever_is_pressed_nobody_is_lost_and_nobody_let_in_while_held(controller, presses):
    async def hand(stage):
        runner = stage.runner
        for pause, key in presses:
            await asyncio.sleep(pause)
            now = runner.steering
            runner.steer({"p": now.toggled(), "+": now.nudged(1), "-": now.nudged(-1), "0": now.reset()}[key])
        runner.steer(Steering(nudges=runner.steering.nudges))

    stage = scripted(controller, count=12).run(hand)
    assert stage.complete
    assert sorted(x.rollout for x in stage.of(r.RolloutFinished)) == sorted(f"t{i}#0" for i in range(12))
    held = None
    for record in stage.records:
        if isinstance(record, r.Steered):
            held = (record.t if held is None else held) if record.held else None
        if isinstance(record, r.RolloutStarted | r.RolloutReturned):
            assert held is None or record.t <= held  # in the moment itself somebody may be on the way in


# What controllers make of it --------------------------------------------------------------------------------------------


def simulated(controller, meanwhile=None):
    traces = generate(WorkloadParameters(agents=64, output_median=100), seed=0)
    engine = SimEngine(core(250_000, find_profile("qwen3-32b@h100x4").cost, log=False))
    job = list(simulated_tasks(traces))
    return Stage(engine=engine, job=job, controller=controller, max_agents=64, tools=RecordedTools()).run(meanwhile)


def limits(stage, start, stop):
    return [x.tokens if x.tokens is not None else x.agents for x in stage.of(r.Decided) if start < x.t < stop]


@pytest.mark.parametrize("controller", ["aimd", "turnover"])
def test_a_held_period_grows_no_window(controller):
    stage = simulated(controller, held_between(60.0, 400.0))
    while_held = limits(stage, 62.0, 400.0)
    assert max(while_held) <= while_held[0]
    assert stage.complete


@pytest.mark.parametrize("controller", ["aimd", "forecast"])
def test_after_a_held_period_the_cache_does_not_thrash(controller):
    plain, held = simulated(controller), simulated(controller, held_between(60.0, 400.0))

    def missed(stage):
        replies = [x for x in stage.of(r.ReplyReceived) if not x.after_pause and x.missed_tokens is not None]
        return sum(x.missed_tokens for x in replies) / sum(x.history_tokens for x in replies)

    assert held.complete
    assert missed(held) < missed(plain) + 0.05


def test_half_the_limit_for_long_does_not_make_forecast_take_the_pool_for_larger():
    async def hand(stage):
        await asyncio.sleep(30.0)
        stage.runner.steer(Steering(nudges=-7))

    stage = simulated("forecast", hand)
    decided = [x.tokens for x in stage.of(r.Decided) if x.tokens is not None]
    assert max(decided) <= 250_000
    assert stage.complete
