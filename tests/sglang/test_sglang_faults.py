"""What befalls a real server in mid-batch. The batch ends well, nothing counts twice, and the limit moves on evidence only.

The pool holds all conversations, so that whatever the controller does wrong is the fault's doing.
"""

import asyncio
import json
import time

import pytest
from batch import Batch, ask
from batch_proxy import cutting
from serving import serving

from concur_batch import records as r
from concur_batch.engine.base import Request
from concur_batch.engine.openai import OpenAIEngine

pytestmark = pytest.mark.sglang

TASKS, STEPS = 10, 9
POOL_TOKENS = 60_000
FROZEN_S = 20
CUTS = 12


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("large"), "--chunked-prefill-size", "4096", pool_tokens=POOL_TOKENS) as server:
        yield server


def cached_share(replies):
    return sum(x.cached_tokens for x in replies) / sum(x.prompt_tokens for x in replies)


def test_a_server_that_stands_still_is_waited_for(large, tmp_path):
    batch = Batch(tmp_path, large.url, tasks=TASKS, agent="stroll", name="freeze", more=[])
    with batch.running():
        batch.until(lambda: batch.replies() >= TASKS * STEPS // 3)
        frozen = batch.now()
        large.freeze()
        try:
            time.sleep(FROZEN_S)  # the fault itself
        finally:
            thawed = batch.now()
            large.thaw()
    batch.check_done_once(STEPS)
    batch.check_decisions()

    # Nobody gave up: calls that were under way when it stopped were answered when it went on. It may then close a connection for
    # having been idle too long, with a request in it that it has not read: that one was sent again, once.
    replies = batch.of(r.ReplyReceived)
    assert max(x.retries for x in replies) <= 1
    assert len(batch.of(r.CallFailed)) == 0
    assert any(x.t > thawed and x.t - x.model_s - x.wait_s - x.retry_s < frozen + 1 for x in replies)
    assert len(batch.of(r.EngineLost)) == len(batch.of(r.EngineReturned)) <= 1

    # Without readings, no decisions.
    silent = [x for x in batch.of(r.Sampled) if frozen + 1 < x.t < thawed]
    assert silent
    assert all(x.stale for x in silent)
    assert {x.reason for x in batch.of(r.Decided) if frozen + 1 < x.t < thawed} == {"no-evidence"}
    batch.check_recovery(frozen + 1, thawed)


def test_a_cache_that_is_flushed_is_filled_again(large, tmp_path):
    batch = Batch(tmp_path, large.url, tasks=TASKS, agent="stroll", name="flush", more=[])
    with batch.running():
        batch.until(lambda: batch.replies() >= TASKS * STEPS // 2)
        # It flushes only when nothing runs. An operator who means it ends what runs, and holds back what comes.
        ask(large.url, "/pause_generation", {"mode": "abort"})
        paused = batch.now()
        ask(large.url, "/flush_cache", {})
        ask(large.url, "/continue_generation", {})
        flushed = batch.now()
    batch.check_done_once(STEPS)
    batch.check_decisions()
    batch.check_recovery(paused, flushed)

    # Each agent's first call after it found nothing, whoever was cut short made that call again, and then all was as before.
    replies = batch.of(r.ReplyReceived)
    after = [x for x in replies if x.step > 1 and x.t > flushed]
    first = list({x.rollout: x for x in reversed(after)}.values())
    assert cached_share([x for x in replies if x.step > 1 and x.t < paused]) > 0.7
    assert cached_share(first) < 0.1
    assert cached_share([x for x in after if x not in first]) > 0.7
    assert sum(x.missed_tokens for x in first) > 0.9 * sum(x.history_tokens for x in first)
    assert len(batch.of(r.EngineLost)) == 0


def test_replies_that_are_cut_off_are_asked_for_again(large, tmp_path):
    with cutting(large.port, cuts=CUTS, among=TASKS * STEPS, seed=7) as (proxy, url):
        batch = Batch(tmp_path, url, tasks=TASKS, agent="stroll", name="cut", more=[])
        with batch.running():
            pass
        cut = proxy.cut
    assert cut == CUTS
    batch.check_done_once(STEPS)
    batch.check_decisions()

    # One more call for each reply that was cut. The engine was there whenever one looked.
    replies = batch.of(r.ReplyReceived)
    assert sum(x.retries for x in replies) == CUTS
    assert len(batch.of(r.CallFailed)) == len(batch.of(r.EngineLost)) == 0
    limits = batch.limits()
    assert min(limits) >= limits[0] // 2


def test_a_call_that_is_cancelled_ends_on_the_server_too(large):
    def running() -> int:
        return json.loads(ask(large.url, "/v1/loads?include=core"))["loads"][0]["num_running_reqs"]

    async def story():
        engine = OpenAIEngine(large.url)
        await engine.probe()
        sampling = {"max_tokens": 12_000, "ignore_eos": True, "temperature": 0}
        asked = Request(rollout="c#0", step=1, request_id="c#0/1", model="tiny", messages=MESSAGES, sampling=sampling)
        call = asyncio.create_task(engine.complete(asked))
        while not await asyncio.to_thread(running):
            assert not call.done()
            await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait({call})
        for _ in range(100):  # ten seconds, where all that was asked for takes a minute
            if not await asyncio.to_thread(running):
                break
            await asyncio.sleep(0.1)
        left = await asyncio.to_thread(running)
        await engine.aclose()
        return left

    assert asyncio.run(story()) == 0
    assert "POST /abort_request" in large.log.read_text()


MESSAGES = [{"role": "user", "content": "Go on until you are told to stop."}]
