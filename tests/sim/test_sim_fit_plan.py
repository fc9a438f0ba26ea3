from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.fit_plan import BURST_OUTPUT, Burst, Conversation, Limits, bursts, chunks, conversations

GPU = Limits(context=131_072, pool=367_000, requests=2048)


def test_a_large_engine_gets_the_whole_plan():
    assert [talk.added[0] for talk in conversations(GPU)] == [64, 256, 1024, 4096, 16_384, 32_768]
    assert conversations(GPU)[3] == Conversation((4096, 64, 512, 2048))
    assert bursts(GPU)[:3] == [Burst(1, 32), Burst(1, 8192), Burst(1, 32_768)]
    assert bursts(GPU)[-1] == Burst(64, 1024)


@given(st.integers(64, 200_000), st.integers(64, 4_000_000), st.integers(1, 4096))
def test_nothing_asks_for_more_than_there_is(context, pool, requests):
    limits = Limits(context=context, pool=pool, requests=requests)
    for talk in conversations(limits):
        assert min(talk.added) > 0
        assert sum(talk.added) <= min(0.9 * context, 0.75 * pool)
    for burst in bursts(limits):
        assert burst.batch <= requests
        assert burst.batch * (burst.prompt + BURST_OUTPUT) <= 0.6 * pool + BURST_OUTPUT
        assert burst.prompt + BURST_OUTPUT <= context


@given(st.integers(1, 50_000), st.integers(0, 50_000), st.integers(1, 9000))
def test_chunks_follow_each_other(new, past, chunk):
    at = past
    for size, before in chunks(new, past, chunk):
        assert before == at
        assert 0 < size <= chunk
        at += size
    assert at == past + new
