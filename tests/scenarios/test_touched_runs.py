"""Touches of a whole run: when they begin, and what of a run they are."""

import asyncio

from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

AGENTS = WorkloadParameters(agents=96, output_median=120, tool_median_s=3.0, least_steps=5, most_steps=15)


class Watched(SimEngine):
    """Remembers when calls and touches have come."""

    def __init__(self):
        cost = FittedCost(prefill_fixed_s=8e-3, prefill_per_token_s=40e-6, decode_fixed_s=8e-3, decode_per_context_token_s=3e-8)
        super().__init__(core(300_000, cost, log=False))
        self.calls, self.touches = set(), []

    async def complete(self, request):
        now = asyncio.get_running_loop().time()
        if request.touch:
            self.touches.append(now)
        else:
            self.calls.add(now)
        return await super().complete(request)


def test_touches_go_along_with_calls_or_wait_for_one_until_the_next_sample():
    engine = Watched()
    done = Stage(engine=engine, job=list(tasks(generate(AGENTS, 0))), controller="forecast", tools=RecordedTools()).run()
    samples = done.of(r.Sampled)
    alone = [at for at in engine.touches if at not in engine.calls]
    assert sum(x.touches for x in samples) == len(engine.touches) > 50
    assert len(alone) < 0.2 * len(engine.touches)
    assert {round(at, 6) for at in alone} <= {round(x.t, 6) for x in samples}
    assert {x.status for x in done.of(r.RolloutFinished)} == {"completed"}
