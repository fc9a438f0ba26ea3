"""Where agents start when there are several engines: they stay there, so that one engine must not take more than falls to it."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from gates import NewFirst
from simulated import core
from stage import Stage, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.control.base import Limit
from concur_batch.control.policies import make_policy
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks as simulated_tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools


def scripted(*pools, delay_s=1.0):
    return [
        ScriptedEngine(turns("wait"), delay_s=delay_s, name=f"engine {i}", capabilities=Capabilities(capacity_tokens=pool))
        for i, pool in enumerate(pools)
    ]


def starts(stage):
    """How many agents each engine has had, in the order of their names."""
    found = Counter(x.engine for x in stage.of(r.RolloutStarted))
    return [found[name] for name in sorted(found)]


def span(controller, seconds, seed):
    """Seconds until the last of 144 agents with tools of so many has ended on two engines."""
    cost = find_profile("qwen3-32b@h100x4").cost
    engines = [SimEngine(core(250_000, cost, log=False), f"engine {i}") for i in range(2)]
    job = list(simulated_tasks(generate(WorkloadParameters(agents=144, tool_median_s=seconds), seed)))
    stage = Stage(engines, job, controller=controller, tools=RecordedTools()).run()
    assert max(starts(stage)) <= 1.75 * min(starts(stage))
    return max(x.t for x in stage.of(r.RolloutFinished))


@pytest.mark.parametrize("seconds", [8.0, 20.0])
def test_with_long_tools_several_engines_are_hardly_slower_than_without_a_limit(seconds):
    """One engine comes to hold nobody back before the others do, or all do at a moment when one of them has the fewest contexts. (It was .7.)"""
    off, forecast = (sum(span(controller, seconds, seed) for seed in range(2)) for controller in ("off", "forecast"))
    assert off >= 0.94 * forecast


@pytest.mark.parametrize(("pools", "most"), [((1000, 1000), 10), ((3000, 1000), 15), ((None, 1000), 10)])
def test_an_engine_that_has_no_limit_while_others_have_takes_no_more_than_its_share(pools, most):
    """All 20 are there, none has ended."""

    async def open_one(stage):
        await asyncio.sleep(0.5)
        stage.runner._lanes[0].gate.resize(Limit())

    stage = Stage(scripted(*pools, delay_s=0.9), tasks(20), controller="fixed:3").run(open_one)
    begun = [x for x in stage.of(r.RolloutStarted) if x.t < 0.9]
    assert Counter(x.engine for x in begun) == {"engine 0": most, "engine 1": 3}
    assert len(stage.of(r.RolloutFinished)) == 20


@pytest.mark.parametrize(
    ("pools", "shares"), [((1000, 1000), [0.5, 0.5]), ((3000, 1000), [0.75, 0.25]), ((None, 1000), [0.5, 0.5])]
)
def test_of_those_who_have_not_started_an_engine_is_told_its_share_by_the_pools_of_all_that_are_there(pools, shares):
    seen = {}

    async def look(stage):
        await asyncio.sleep(0.5)
        lanes = stage.runner._lanes
        for lane in lanes:
            spy(lane.policy.controller, seen.setdefault(lane.name, []))
        await asyncio.sleep(2.5)
        lanes[1].presence.lose("gone for now")

    Stage(scripted(*pools, delay_s=0.9), tasks(40), controller="forecast").run(look)
    samples = list(seen.values())
    assert [samples[i][0].share for i in (0, 1)] == shares
    assert 1.0 in [sample.share for sample in samples[0]]  # as long as it is alone


def spy(controller, samples):
    """Keep what it is told."""
    update = controller.update

    def kept(sample):
        samples.append(sample)
        return update(sample)

    controller.update = kept


def test_agents_that_have_not_been_heard_of_count_where_engines_are_chosen():
    """When nobody is held back any more all that are left start at one moment, before any of them has a context that is known."""

    async def open_all(stage):
        await asyncio.sleep(1.5)
        for lane in stage.runner._lanes:
            lane.gate.resize(Limit())

    stage = Stage(scripted(1000, 1001), tasks(40), controller="fixed:2").run(open_all)
    begun = [x for x in stage.of(r.RolloutStarted) if x.t < 2.0]
    assert sorted(Counter(x.engine for x in begun).values()) == [20, 20]


def test_after_a_resume_those_who_wait_to_be_taken_up_are_counted_among_the_waiting():
    stage = Stage(ScriptedEngine(turns("wait", "wait", "wait"), delay_s=1.0), tasks(20), max_agents=8)
    stage.run(after(3.5, stop))
    assert {(x.active, x.waiting) for x in stage.of(r.Sampled)} == {(8, 12)}
    before, stage.controller = len(stage.records), "fixed:2"
    stage.run()
    samples = [x for x in stage.records[before:] if isinstance(x, r.Sampled)]
    assert (samples[0].active, samples[0].waiting) == (2, 18)
    assert samples[-1].waiting == 0


def listing(*models, delay_s=1.0):
    """An engine for each, which lists that model and no other."""
    return [
        ScriptedEngine(turns("wait"), delay_s=delay_s, name=f"engine {i}", capabilities=Capabilities(models=(model,)))
        for i, model in enumerate(models)
    ]


def where(stage, begun=0):
    """Engine and model of each rollout that has started since then."""
    return {x.rollout: (x.engine, x.model) for x in stage.records[begun:] if isinstance(x, r.RolloutStarted)}


def test_a_rollout_that_names_a_model_starts_where_that_is_listed():
    """Though the other has room; one that names none, or one that nobody lists, starts on any."""
    names = ["b", "b:adapter", "a", "unheard of", None, None, None, None]
    job = [replace(task, model=names[i % 8]) for i, task in enumerate(tasks(16))]
    stage = Stage(listing("a", "b"), job, controller="fixed:3").run()
    found = where(stage)
    for task in job:
        engine, model = found[f"{task.id}#0"]
        assert model == (task.model or {"engine 0": "a", "engine 1": "b"}[engine])
        if task.model in ("a", "b", "b:adapter"):
            assert engine == ("engine 0" if task.model == "a" else "engine 1")
    assert len(stage.of(r.RolloutFinished)) == 16


def test_an_engine_that_lists_no_models_may_have_rollouts_of_any():
    nothing = ScriptedEngine(turns("wait"), delay_s=1.0, name="engine 2", capabilities=Capabilities())
    job = [replace(task, model="a" if task.index < 6 else "unheard of") for task in tasks(12)]
    found = where(Stage([*listing("a", "b"), nothing], job, controller="fixed:3").run())
    assert {model: {engine for engine, other in found.values() if other == model} for model in ("a", "unheard of")} == {
        "a": {"engine 0", "engine 2"},
        "unheard of": {"engine 2"},
    }


def test_after_a_resume_a_rollout_goes_on_where_its_model_is():
    """Whatever the order in which engines are named, and whichever of them has room."""
    stage = Stage(listing("a", "b"), tasks(6)).run(after(1.5, stop))
    before, begun = where(stage), len(stage.records)
    assert sorted(model for _, model in before.values()) == ["a"] * 3 + ["b"] * 3
    stage.engine = listing("b", "a")
    stage.run()
    again = where(stage, begun)
    assert {rollout: model for rollout, (_, model) in again.items()} == {rollout: model for rollout, (_, model) in before.items()}
    assert {(engine, model) for engine, model in again.values()} == {("engine 0", "b"), ("engine 1", "a")}


def test_nobody_pauses_for_a_new_one_that_has_to_start_on_another_engine():
    """The last that may start on either has looked at both, and starts on the first; those after it are all for the first."""

    async def narrow(stage):
        await asyncio.sleep(1.2)
        stage.runner._lanes[1].gate.resize(Limit(agents=1))

    job = [replace(task, model=None if task.index < 5 else "a") for task in tasks(17)]
    policy = replace(make_policy("fixed:3", {}, 1024, None), admission=NewFirst())
    stage = Stage(listing("a", "b", delay_s=0.3), job, policy=policy).run(narrow)
    (back,) = stage.of(r.RolloutReturned)
    assert back.t == pytest.approx(1.6)  # as soon as the other one there has ended
    assert len(stage.of(r.RolloutFinished)) == 17
