"""A batch against the real SGLang server, through the whole program, with the server killed in mid-batch."""

import pytest
from batch import LAW, Batch, chat

from concur_batch import records as r

pytestmark = pytest.mark.sglang

TASKS, STEPS = 12, 9
POOL_TOKENS = 20_000


def test_a_turn_more_finds_the_turns_before_in_the_cache(server):
    messages = [{"role": "user", "content": "Tell me what you see. " * 20}]
    first = chat(server.url, messages)
    messages += [first["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    second = chat(server.url, messages)

    seen = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == seen - 1  # the last token was never put into the cache


def test_a_batch_outlives_the_death_of_its_server(server, tmp_path):
    batch = Batch(tmp_path, server.url, tasks=TASKS, more=[])
    with batch.running():
        batch.until(lambda: batch.replies() >= TASKS * STEPS // 3)
        server.kill()
        batch.until(lambda: bool(batch.of(r.EngineLost)))
        before = batch.replies()
        server.start()
    assert before < TASKS * STEPS, "the server was not killed in mid-batch"
    batch.check_done_once(STEPS)

    # The statistics are the server's own, and its cache was at work.
    samples = batch.of(r.Sampled)
    assert {x.capacity_tokens for x in samples if not x.stale} >= {POOL_TOKENS}
    assert max(x.locked or 0 for x in samples) > 0.5  # the pool was under pressure
    assert any(x.resident is not None and x.evicted_tokens is not None for x in samples)  # those are told by /metrics
    replies = batch.of(r.ReplyReceived)
    later = [x.cached_tokens for x in replies if x.step > 1]
    assert all(cached is not None for cached in later)
    assert any(cached > 0 for cached in later)
    assert len(set(later)) > STEPS

    # The engine went away and came back, once, and meanwhile nothing was decided.
    (lost,), (returned,) = batch.of(r.EngineLost), batch.of(r.EngineReturned)
    batch.check_decisions()
    batch.check_hold(lost.t, returned.t)
    assert max(batch.limits(returned.t)) > min(LAW.floor, TASKS)  # and it does not stay down for having been cut by the pressure
