"""Model calls that begin together, on engines whose prefills are dear and on those whose are not, over three draws."""

import pytest
from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

SHORT = WorkloadParameters(agents=128, output_median=60, observation_median=300, tool_median_s=0.3, least_steps=8, most_steps=16)


def engine(prefill_fixed_s):
    """Of Qwen3-8B on an H200, but for what a prefill takes however short; tools/gpu/costs.py measured 19 ms."""
    cost = FittedCost(
        prefill_fixed_s=prefill_fixed_s, prefill_per_token_s=23e-6, decode_fixed_s=8e-3, decode_per_context_token_s=3e-8
    )
    return SimEngine(core(400_000, cost, log=False))


def run(prefill_fixed_s, together):
    """Seconds of three draws, and the records of the last."""
    seconds = 0.0
    for seed in range(3):
        job = list(tasks(generate(SHORT, seed)))
        stage = Stage(
            engine=engine(prefill_fixed_s),
            job=job,
            controller="forecast",
            parameters={"together": together},
            max_agents=len(job),
            tools=RecordedTools(),
        )
        done = stage.run()
        ends = done.of(r.RolloutFinished)
        assert {x.status for x in ends} == {"completed"}
        seconds += max(x.t for x in ends)
    return seconds, done


def test_where_prefills_are_dear_calls_that_begin_together_are_faster():
    alone, _ = run(0.019, together=False)
    seconds, done = run(0.019, together=True)
    assert seconds < 0.95 * alone
    assert max(x.together for x in done.of(r.Decided)) > 2
    assert max(x.wait_s for x in done.of(r.ReplyReceived)) < 1.0


@pytest.mark.parametrize("prefill_fixed_s", [0.0, 0.003])
def test_where_they_are_cheap_nothing_is_lost(prefill_fixed_s):
    alone, _ = run(prefill_fixed_s, together=False)
    seconds, _ = run(prefill_fixed_s, together=True)
    assert seconds < 1.02 * alone
