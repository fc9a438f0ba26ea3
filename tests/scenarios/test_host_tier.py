"""A server whose host tier holds more agents than its pool can have in model calls at a time."""

import math
from statistics import median

import pytest
from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.control.room import Room
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

SEEDS = range(3)


def run(seed, controller="forecast"):
    """(seconds, seconds of the median agent from its first start to its end)"""
    engine = SimEngine(core(200_000, find_profile("qwen3-32b@h100x4").cost, log=False, host_ratio=3.0))
    job = list(tasks(generate(WorkloadParameters(agents=72), seed)))
    done = Stage(engine=engine, job=job, controller=controller, max_agents=len(job), tools=RecordedTools()).run()
    began = {x.rollout: x.t for x in done.of(r.RolloutStarted) if x.attempt == 1}
    ended = {x.rollout: x.t for x in done.of(r.RolloutFinished)}
    return max(ended.values()), median(ended[rollout] - began[rollout] for rollout in began)


def test_more_than_keep_the_pool_busy_would_only_live_longer(monkeypatch: pytest.MonkeyPatch):
    found, off = ([run(seed, name) for seed in SEEDS] for name in ("forecast", "off"))
    monkeypatch.setattr(Room, "busy_tokens", lambda room, calling_share: math.inf)
    filled = [run(seed) for seed in SEEDS]
    for other in (off, filled):
        assert sum(seconds for seconds, _ in found) < 1.01 * sum(seconds for seconds, _ in other)
        assert sum(life for _, life in found) < 0.75 * sum(life for _, life in other)
