"""What calls under way hold beyond the contexts that replies have told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Sample
from concur_batch.control.under_way import UnderWay

POOL = 100_000
GROWTH = 400.0


def seen(locked, running, calls, known, shared=0.0, samples=200):
    it = UnderWay()
    for n in range(samples):
        it.sampled(Sample(engine="e", time=float(n), locked=locked / POOL, running_requests=running), POOL)
        it.looked(calls, known, shared)
    return it.tokens(GROWTH)


def test_one_steps_growth_until_the_engine_tells():
    it = UnderWay()
    assert it.tokens(GROWTH) == GROWTH
    it.sampled(Sample(engine="e", time=1.0), POOL)
    it.looked(10, 20_000.0, 0.0)
    it.sampled(Sample(engine="e", time=2.0, locked=0.3), None)
    it.looked(10, 20_000.0, 0.0)
    it.sampled(Sample(engine="e", time=3.0, locked=0.3), POOL)
    it.looked(0, 0.0, 0.0)
    assert it.tokens(GROWTH) == GROWTH


def test_locked_kv_less_what_replies_have_told_per_call():
    """Ten calls of agents with 2,000 tokens each, which have 500 more by now, and a prefix of 1,000 that all share."""
    assert seen(10 * 2_500 + 1_000, running=10, calls=10, known=20_000, shared=1_000) == pytest.approx(500)


@pytest.mark.parametrize("running", [5, 8])
def test_calls_that_the_engine_does_not_run_lock_nothing(running):
    """They are held back, on the way to it, or wait in its queue. Taken to hold what they have, the others would seem to need nothing."""
    assert seen(running * 2_500, running=running, calls=10, known=20_000) == pytest.approx(500, rel=0.01)


def test_more_calls_than_ours_are_somebody_elses():
    assert seen(10 * 2_500, running=30, calls=10, known=20_000) == pytest.approx(500)


def test_nothing_runs_at_the_moment():
    assert seen(10 * 2_500, running=0, calls=10, known=20_000) == pytest.approx(500)


@given(
    locked=st.floats(0, POOL),
    running=st.none() | st.integers(0, 300),
    calls=st.integers(0, 300),
    known=st.floats(0, 2 * POOL),
    shared=st.floats(0, POOL),
    samples=st.integers(1, 30),
)
def test_between_half_a_step_and_four(locked, running, calls, known, shared, samples):
    assert GROWTH / 2 <= seen(locked, running, calls, known, shared, samples) <= 4 * GROWTH
