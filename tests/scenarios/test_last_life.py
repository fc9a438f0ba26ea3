"""Who goes first when what is left is little more than one life of those who are under way."""

import pytest
from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.control.forecast import Forecast
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

LONG_TOOLS = WorkloadParameters(agents=128, tool_median_s=10.0)
SEEDS = range(3)


def engine(pool=400_000):
    return SimEngine(core(pool, find_profile("qwen3-32b@h100x4").cost, log=False))


def run(seed, engines=None, **more):
    """(seconds, when the last agent began)"""
    job = list(tasks(generate(LONG_TOOLS, seed)))
    done = Stage(engine=engines or engine(), job=job, controller="forecast", tools=RecordedTools(), **more).run()
    ends = done.of(r.RolloutFinished)
    assert {x.status for x in ends} == {"completed"}
    return max(x.t for x in ends), max(x.t for x in done.of(r.RolloutStarted) if x.attempt == 1)


def test_agents_with_long_tools_do_not_begin_last_when_they_have_most_before_them(monkeypatch: pytest.MonkeyPatch):
    found = [run(seed) for seed in SEEDS]
    monkeypatch.setattr(Forecast, "_in_last_life", lambda law, roster: False)
    oldest_first = [run(seed) for seed in SEEDS]
    assert sum(seconds for seconds, _ in found) < 0.95 * sum(seconds for seconds, _ in oldest_first)
    assert sum(last for _, last in found) < 0.9 * sum(last for _, last in oldest_first)


def test_nobody_waits_for_a_new_agent_that_may_not_start(monkeypatch: pytest.MonkeyPatch):
    """Two engines, and at most half of the agents live at a time."""
    spans = []
    for last_life in (Forecast._in_last_life, lambda law, roster: False):
        monkeypatch.setattr(Forecast, "_in_last_life", last_life)
        spans.append(sum(run(seed, [engine(200_000), engine(200_000)], max_agents=64)[0] for seed in SEEDS))
    assert spans[0] < 1.02 * spans[1]
