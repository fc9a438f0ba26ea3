"""The default policy is never worse than no control: whatever the work, whatever the engine tells, against a simulated engine."""

import asyncio
import math
from dataclasses import replace
from functools import cache
from itertools import groupby

import pytest
from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.control.base import EngineStats
from concur_batch.engine.base import Capabilities
from concur_batch.engine.sim import SimEngine
from concur_batch.results.tally import Tally
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

POOL = 100_000
NOT_WORSE = 1 / 0.98
HARDLY_WORSE = 1 / 0.95  # where it cannot know better


def server(pool=POOL, **options):
    return SimEngine(core(pool, find_profile("qwen3-32b@h100x4").cost, log=False, **options))


def small_model():
    return SimEngine(core(40_000, find_profile("qwen3-8b@h100x1").cost, log=False))


class Teller:
    """A simulated server that tells something else: `stats(time, told)` and `reply(told)` make it of what it would tell."""

    def __init__(self, engine, stats=None, reply=None, capabilities=None):
        self.engine = engine
        self._stats = stats or (lambda _, told: told)
        self._reply = reply or (lambda told: told)
        self.capabilities = capabilities or engine.capabilities

    def __getattr__(self, name):
        return getattr(self.engine, name)

    async def stats(self):
        return self._stats(asyncio.get_running_loop().time(), await self.engine.stats())

    async def complete(self, request):
        return self._reply(await self.engine.complete(request))


def agents(count=32, seed=0, **workload):
    return generate(WorkloadParameters(agents=count, output_median=100, **workload), seed)


def stage(controller, traces, engine):
    job = list(tasks(traces))
    return Stage(engine=engine, job=job, controller=controller, max_agents=len(job), tools=RecordedTools())


def run(traces, engine, controller="forecast", meanwhile=None):
    done = stage(controller, traces, engine).run(meanwhile)
    assert {x.status for x in done.of(r.RolloutFinished)} == {"completed"}
    assert len(done.of(r.RolloutFinished)) == len(traces)
    return done


def makespan(done):
    return max(x.t for x in done.of(r.RolloutFinished))


@cache
def usual():
    """Seconds of 32 agents in a pool that is too small for them, without control and under it."""
    return makespan(run(agents(), server(), "off")), makespan(run(agents(), server()))


def reasons(done):
    """One after the other."""
    return [reason for reason, _ in groupby(x.reason for x in done.of(r.Decided))]


def limits(done, start=0.0, stop=1e9):
    return [x.tokens for x in done.of(r.Decided) if start <= x.t < stop and x.tokens is not None]


# Where control is needless -----------------------------------------------------------------------------------------------


def test_a_host_tier_that_holds_everybody():
    off, forecast = (run(agents(), server(host_ratio=6.0), name) for name in ("off", "forecast"))
    assert makespan(forecast) <= NOT_WORSE * makespan(off)
    assert forecast.of(r.RolloutPaused) == []


def test_tools_that_take_a_minute():
    slow = agents(tool_median_s=60.0, tool_sigma=0.3)
    off, forecast = (run(slow, server(), name) for name in ("off", "forecast"))
    assert makespan(forecast) <= NOT_WORSE * makespan(off)
    assert reasons(forecast)[-1] == "step-aside"


def test_contexts_that_are_prefilled_in_no_time():
    """Over three draws: so few agents, in so small a pool, take 3 % more or less with any change at all."""
    spans = {"off": 0.0, "forecast": 0.0}
    for seed in range(3):
        traces = agents(24, seed, shared_tokens=0, start_tokens=3900, observation_median=100, scale_sigma=0.1, tool_median_s=2.0)
        for controller in spans:
            done = run(traces, small_model(), controller)
            spans[controller] += makespan(done)
        assert "step-aside" in reasons(done)
    assert spans["forecast"] <= spans["off"] * NOT_WORSE


def test_single_calls_with_long_replies():
    """No history, so nothing to be saved. Until the first have replied it cannot know."""
    crowd = generate(WorkloadParameters(agents=400, least_steps=1, most_steps=1, start_tokens=900, output_median=700), seed=0)
    off, forecast = (
        makespan(run(crowd, SimEngine(core(282_000, find_profile("qwen3-32b@h100x2").cost, log=False)), name))
        for name in ("off", "forecast")
    )
    assert forecast <= off * HARDLY_WORSE


def test_agents_of_one_to_four_steps():
    crowd = agents(400, least_steps=1, most_steps=4, start_tokens=3000)
    off, forecast = (
        makespan(run(crowd, SimEngine(core(800_000, find_profile("qwen3-32b@h100x4").cost, log=False)), name))
        for name in ("off", "forecast")
    )
    assert forecast <= off * HARDLY_WORSE


def test_rollouts_that_share_a_long_prompt_with_their_siblings():
    """Eight to a task of 6,000 tokens: that much takes room once, not eight times, and not none."""
    job = list(tasks(agents(64, start_tokens=6000, shared_tokens=500)))
    job = [replace(task, messages=job[n - n % 8].messages) for n, task in enumerate(job)]
    spans, missed = {}, {}
    for controller in ("off", "forecast"):
        done = Stage(engine=server(2 * POOL), job=job, controller=controller, max_agents=len(job), tools=RecordedTools()).run()
        spans[controller] = makespan(done)
        replies = done.of(r.ReplyReceived)
        missed[controller] = sum(x.missed_tokens or 0 for x in replies) / sum(x.history_tokens for x in replies)
    assert spans["forecast"] < 0.8 * spans["off"]
    assert missed["forecast"] < 0.1


def test_ten_agents():
    """So few do not fill the engine's time, and the longest of them is the makespan: each draw gives or takes a tenth."""
    gains = []
    for seed in range(14):
        off, forecast = (run(agents(10, seed), server(), name) for name in ("off", "forecast"))
        gains.append(math.log(makespan(off) / makespan(forecast)))
    assert math.exp(sum(gains) / len(gains)) > 0.98


def test_a_pool_that_holds_everybody():
    off, forecast = (run(agents(24), server(10 * POOL), name) for name in ("off", "forecast"))
    assert makespan(forecast) <= NOT_WORSE * makespan(off)
    assert forecast.of(r.RolloutPaused) == []


# Giants ------------------------------------------------------------------------------------------------------------------


def giant(tokens, steps=12):
    each = tokens // steps - 200
    return AgentTrace(
        shared_tokens=0,
        prompt_tokens=each,
        outputs=(200,) * steps,
        observations=(each,) * (steps - 1),
        tool_seconds=(1.0,) * (steps - 1),
    )


@pytest.mark.parametrize(("tokens", "place"), [(60_000, 0), (98_000, 12), (98_000, 31)])
def test_a_giant_among_small_ones(tokens, place):
    """98,000 tokens are more than the limit ever is: it runs when it is alone, or the oldest."""
    crowd = agents(31)
    crowd.insert(place, giant(tokens))
    off, forecast = (run(crowd, server(), name) for name in ("off", "forecast"))
    assert makespan(forecast) <= NOT_WORSE * makespan(off)


def test_nothing_but_giants():
    crowd = [giant(97_000)] * 4
    off, forecast = (run(crowd, server(), name) for name in ("off", "forecast"))
    assert makespan(forecast) <= NOT_WORSE * makespan(off)


# Engines that change -----------------------------------------------------------------------------------------------------


def telling(capacity):
    """Another size of the pool, by time; the shares are of it."""

    def stats(time, told):
        other = int(capacity(time))
        share = told.capacity_tokens / other
        return replace(
            told, capacity_tokens=other, locked=min(1.0, told.locked * share), resident=min(1.0, told.resident * share)
        )

    return stats


def test_a_pool_that_is_told_to_be_half_as_large_from_some_moment_on():
    done = run(agents(), Teller(server(), telling(lambda time: POOL if time < 100 else POOL / 2)))
    assert max(limits(done, 1, 100)) > POOL / 2
    assert max(limits(done, 102, 150)) <= POOL / 2
    assert makespan(done) <= 1.5 * usual()[0]


def test_a_pool_that_is_told_to_be_larger_than_it_is_from_some_moment_on():
    done = run(agents(), Teller(server(), telling(lambda time: POOL if time < 100 else 3 * POOL)))
    assert "cut" in {x.reason for x in done.of(r.Decided) if x.t > 100}
    assert makespan(done) <= NOT_WORSE * usual()[0]


def test_an_engine_that_is_started_anew():
    """Its cache is empty, its counters begin at 0."""

    async def meanwhile(stage):
        await asyncio.sleep(150)
        stage.engine.engine = server()

    done = run(agents(), Teller(server()), meanwhile=meanwhile)
    assert makespan(done) <= NOT_WORSE * usual()[0]


# Statistics that stop or lie ---------------------------------------------------------------------------------------------


def raising(time, told):
    if time > 60:
        raise OSError("no statistics")
    return told


def repeating():
    last = None

    def stats(time, told):
        nonlocal last
        last = told if time <= 60 or last is None else last
        return replace(last, epoch=float(min(time, 60)))

    return stats


@pytest.mark.parametrize("stats", [raising, repeating()], ids=["raising", "repeating"])
def test_statistics_that_stop(stats):
    done = run(agents(), Teller(server(), stats))
    assert {x.stale for x in done.of(r.Sampled) if x.t > 61} == {True}
    assert done.of(r.EngineLost) == []
    assert makespan(done) <= NOT_WORSE * usual()[0]


def test_statistics_that_never_come():
    """Over four draws, of which each takes a tenth more or less."""
    off = forecast = 0.0
    for seed in range(4):
        off += makespan(run(agents(seed=seed), server(), "off"))
        done = run(agents(seed=seed), Teller(server(), lambda *_: raising(1e9, None)))
        forecast += makespan(done)
        assert "cut" in reasons(done)
    assert forecast <= HARDLY_WORSE * off


@pytest.mark.parametrize("times", [3, 10])
def test_a_pool_that_is_smaller_than_told(times):
    """Misses bring the limit down to what is there."""
    done = run(agents(), Teller(server(), telling(lambda _: times * POOL)))
    told = limits(done)
    assert told[0] > 0.9 * times * POOL
    assert min(told) < POOL
    assert makespan(done) <= NOT_WORSE * usual()[0]


def test_a_pool_that_is_ten_times_what_is_told():
    done = run(agents(), Teller(server(), telling(lambda _: POOL / 10)))
    assert makespan(done) <= 3 * usual()[0]


# Replies that tell less --------------------------------------------------------------------------------------------------


def silent(reply):
    return replace(reply, cached_tokens=None)


def test_replies_that_do_not_tell_what_was_cached():
    done = run(agents(), Teller(server(), reply=silent))
    assert {x.missed_tokens for x in done.of(r.ReplyReceived)} == {None}
    assert makespan(done) <= NOT_WORSE * usual()[0]


def test_replies_that_do_not_tell_and_a_pool_that_lies():
    done = run(agents(), Teller(server(), telling(lambda _: 10 * POOL), silent))
    assert "cut" in reasons(done)
    assert makespan(done) <= NOT_WORSE * usual()[0]


def test_nothing_is_told_at_all():
    can = Capabilities(kind="openai", models=("m",), statistics="none")
    engine = Teller(server(), lambda *_: EngineStats(), silent, can)
    done = run(agents(80), engine)
    assert "no cache evidence: fixed:64" in reasons(done)
    assert {x.agents for x in done.of(r.Decided)} == {16, 64}
    assert "fixed:64" in done.of(r.EngineSeen)[0].note


# Nobody is forgotten -----------------------------------------------------------------------------------------------------


def test_agents_that_grow_together_for_longer_than_was_foreseen_do_not_lead_into_thrashing():
    """Taken for agents of 20 steps they all start at once; and in the time of a step they outgrow the pool by a tenth."""
    crowd = generate(WorkloadParameters(agents=128, least_steps=40, most_steps=40, most_private_tokens=100_000), seed=0)
    done = run(crowd, SimEngine(core(1_830_000, find_profile("qwen3-32b@h100x8").cost, log=False)))
    minutes: dict[int, list[r.ReplyReceived]] = {}
    for x in done.of(r.ReplyReceived):
        if not x.after_pause:
            minutes.setdefault(int(x.t // 60), []).append(x)
    missed = [sum(x.missed_tokens for x in replies) / sum(x.history_tokens for x in replies) for replies in minutes.values()]
    assert max(missed) < 0.1


def test_agents_that_live_for_long_and_fill_the_pool_before_any_has_ended():
    """Nothing is evicted for minutes, as nothing is dead, and once too much is there hardly anybody ends: it drains by pauses alone."""
    crowd = generate(
        WorkloadParameters(
            agents=104,
            shared_tokens=457,
            start_tokens=15_400,
            least_steps=40,
            most_steps=120,
            output_median=214,
            output_sigma=0.79,
            observation_median=120,
            observation_sigma=0.53,
            tool_median_s=0.12,
            scale_sigma=0.4,
            most_private_tokens=59_000,
        ),
        seed=0,
    )
    aimd, forecast = (
        makespan(run(crowd, SimEngine(core(1_797_000, find_profile("qwen3-32b@h200x4").cost, log=False)), name))
        for name in ("aimd", "forecast")
    )
    assert forecast < aimd


def test_nobody_starves():
    """Who pauses is back at the latest when all have ended who were there then."""
    done = run(agents(64), server())
    ends = {x.rollout: x.t for x in done.of(r.RolloutFinished)}
    starts = {x.rollout: x.t for x in done.of(r.RolloutStarted)}
    pauses, tally = done.of(r.RolloutReturned), Tally()
    for record in done.records:
        tally.apply(record)
    assert len(pauses) > 20
    for back in pauses:
        began = back.t - back.paused_s
        there = [ends[name] for name, start in starts.items() if name != back.rollout and start <= began < ends[name]]
        assert back.paused_s == 0 or back.t <= max(there)
    assert tally.figures()["paused_max_s"] == max(x.paused_s for x in pauses) < makespan(done) / 2


def test_killed_while_agents_are_away_and_resumed():
    async def kill(stage):
        while not any(x.t > 60 for x in stage.of(r.RolloutYielded)):
            await asyncio.sleep(0.25)
        stage.runner.stop()

    crowd = agents(24)
    done = stage("forecast", crowd, server()).run(kill)
    assert done.complete is False
    last = {x.rollout: type(x) for x in done.records if isinstance(x, r.RolloutYielded | r.RolloutPaused | r.RolloutReturned)}
    assert r.RolloutYielded in last.values()  # away at that moment
    done.engine = server()
    done.run()
    assert done.complete
    assert len(done.of(r.RolloutFinished)) == 24
    assert len(done.of(r.ReplyReceived)) == sum(len(trace.outputs) for trace in crowd)
    assert {x.resumed for x in done.of(r.RolloutStarted) if x.rollout in last} == {False, True}
