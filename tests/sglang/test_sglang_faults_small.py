"""A real server with too small a pool, and one that takes no priorities: the same, as starting one takes half a minute."""

import asyncio
from dataclasses import replace

import pytest
from batch import Batch, ask
from prometheus_client.parser import text_string_to_metric_families
from serving import serving

from concur_batch import records as r
from concur_batch.engine.base import Request
from concur_batch.engine.openai import OpenAIEngine

pytestmark = pytest.mark.sglang

TASKS, STEPS = 12, 2
POOL_TOKENS = 3_000


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    flags = ("--schedule-conservativeness", "0.05", "--abort-on-priority-when-disabled")
    with serving(tmp_path_factory.mktemp("small"), *flags, pool_tokens=POOL_TOKENS) as server:
        yield server


def retracted(server):
    """The counter appears with the first."""
    families = text_string_to_metric_families(ask(server.url, "/metrics").decode())
    told = [sample.value for one in families for sample in one.samples if sample.name == "sglang:num_retracted_requests_total"]
    return sum(told)


def test_requests_that_are_retracted_are_answered_all_the_same(small, tmp_path):
    before = retracted(small)
    first = ["--set", f"controller.first={TASKS}"]  # all at once: the controller cannot prevent it
    batch = Batch(tmp_path, small.url, tasks=TASKS, agent="tell", name="tell", more=first)
    with batch.running():
        pass
    assert retracted(small) > before
    batch.check_done_once(STEPS)
    batch.check_decisions()
    assert sum(x.retries for x in batch.of(r.ReplyReceived)) == 0  # the server's own affair
    assert len(batch.of(r.EngineLost)) == 0
    limits = batch.limits()
    assert min(limits) < TASKS  # a pool so full that nothing hits is what the law cuts on


def test_a_priority_that_the_server_aborts_for_is_left_out(small):
    async def story():
        engine = OpenAIEngine(small.url)
        can = await engine.probe()
        engine._capabilities = replace(can, priority=True)  # as a router would have it that speaks for several servers
        messages = [{"role": "user", "content": "Hello."}]
        asked = Request(rollout="p#0", step=1, request_id="p#0/1", model="tiny", messages=messages, sampling={"max_tokens": 4})
        replies = [await engine.complete(replace(asked, priority=5, request_id=f"p#0/{n}")) for n in (1, 2)]
        await engine.aclose()
        return can.priority, len(replies), engine.capabilities.refused, engine.capabilities.priority

    assert asyncio.run(story()) == (False, 2, ("priority",), False)
