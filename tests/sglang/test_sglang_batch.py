"""A batch against the real SGLang server, through the whole program, with the server killed in mid-batch."""

from collections.abc import Iterator

import pytest
from batch import LAW, Batch

from concur_batch import records as r

pytestmark = pytest.mark.sglang

TASKS, STEPS = 12, 9
POOL_TOKENS = 20_000
SHARED_TOKENS = 50  # more than the prompts of two tasks have in common, and far less than one of them is long


def seen(reply: r.ReplyReceived) -> int:
    """How long the history is once this reply has been given."""
    return reply.prompt_tokens + reply.completion_tokens


def turns(replies: list[r.ReplyReceived]) -> Iterator[tuple[r.ReplyReceived, r.ReplyReceived]]:
    """Each reply but an agent's first, after that agent's reply before."""
    last: dict[str, r.ReplyReceived] = {}
    for reply in replies:
        if reply.rollout in last:
            yield last[reply.rollout], reply
        last[reply.rollout] = reply


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
    assert any(after.cached_tokens == seen(before) - 1 for before, after in turns(replies))  # a whole history was found
    assert all(after.cached_tokens < seen(before) for before, after in turns(replies))  # and nobody found what was never there

    # The engine went away and came back, once, and meanwhile nothing was decided.
    (lost,), (returned,) = batch.of(r.EngineLost), batch.of(r.EngineReturned)
    batch.check_decisions()
    batch.check_hold(lost.t, returned.t)
    first = {x.rollout: x.cached_tokens for x in reversed(replies) if x.t > lost.t}
    assert first
    assert max(first.values()) < SHARED_TOKENS  # the new server had nobody's history
    assert max(batch.limits(returned.t)) > min(LAW.floor, TASKS)  # and it does not stay down for having been cut by the pressure
