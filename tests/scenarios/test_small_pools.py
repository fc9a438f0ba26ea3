"""The default policy on a pool that holds a handful of agents, as with a model that just fits its GPU, against a simulated engine."""

from itertools import takewhile

from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

SLOW = FittedCost(prefill_per_token_s=1.5e-4, decode_fixed_s=5e-3, decode_per_request_s=2e-4)  # three seconds for 20,000 tokens


def run(pool, controller, **workload):
    job = list(tasks(generate(WorkloadParameters(**workload), 0)))
    engine = SimEngine(core(pool, SLOW, log=False))
    stage = Stage(engine=engine, job=job, controller=controller, max_agents=len(job), pool_tokens=pool, tools=RecordedTools())
    done = stage.run()
    assert {x.status for x in done.of(r.RolloutFinished)} == {"completed"}
    return done


def makespan(done):
    return max(x.t for x in done.of(r.RolloutFinished))


def test_a_small_pool_is_filled_before_anybody_has_ended():
    """Eight agents of eight steps fill it. Taken for agents that grow as fast as their first contexts are large, five would run at first."""
    load = {"agents": 48, "shared_tokens": 20, "start_tokens": 600, "least_steps": 7, "most_steps": 9, "output_median": 25}
    load |= {"observation_median": 120, "tool_median_s": 0.3, "scale_sigma": 0.2}
    forecast, window = (run(20_000, controller, **load) for controller in ("forecast", "fixed:8"))
    alone = takewhile(lambda x: not isinstance(x, r.RolloutFinished), forecast.records)
    assert sum(isinstance(x, r.RolloutStarted) for x in alone) >= 7
    assert makespan(forecast) <= makespan(window) / 0.97


def test_replies_so_long_that_calls_wait_in_the_engine():
    """Those that run take the room of those that wait, whose KV is in the pool but not locked. No more are let in than all of it holds."""
    load = {"agents": 96, "shared_tokens": 100, "start_tokens": 120, "least_steps": 5, "most_steps": 20, "output_median": 90}
    load |= {"output_sigma": 1.0, "observation_median": 30, "tool_median_s": 0.15, "scale_sigma": 0.2}
    done = run(54_000, "forecast", **load)
    assert any(x.queued_requests for x in done.of(r.Sampled))
    replies = done.of(r.ReplyReceived)
    assert sum(x.missed_tokens for x in replies) < 0.04 * sum(x.history_tokens for x in replies)  # taken to hold nothing: 0.045
