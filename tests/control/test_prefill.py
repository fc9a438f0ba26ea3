import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Sample
from concur_batch.control.prefill import Company, PrefillCost


def told(tokens, busy_s, begun=0, running=None):
    return Sample(engine="e", time=0, prefill_tokens=tokens, prefill_busy_seconds=busy_s, begun=begun, running_requests=running)


def learned(fixed_s, per_token_s, seconds=60, calls=12, tokens=(20, 1500), seed=0):
    """Of an engine with these costs, sampled once a second."""
    rng, found = random.Random(seed), PrefillCost()
    for _ in range(seconds):
        prefills = [rng.randint(*tokens) for _ in range(rng.randint(0, 2 * calls))]
        busy_s = sum(fixed_s + per_token_s * new for new in prefills)
        found.sampled(told(sum(prefills), busy_s, len(prefills)), 1.0)
    return found


@given(st.floats(0, 0.05), st.floats(5e-6, 2e-4), st.integers(0, 99))
def test_both_costs_are_told_apart(fixed_s, per_token_s, seed):
    """Cautiously: at first it takes less for fixed than is, and more for the tokens'. After ten minutes it is near."""
    found = learned(fixed_s, per_token_s, seconds=60, seed=seed)
    assert -1e-9 <= found.fixed_s <= fixed_s + 1e-6
    assert found.per_token_s >= per_token_s - 1e-9
    found = learned(fixed_s, per_token_s, seconds=600, seed=seed)
    assert found.fixed_s == pytest.approx(fixed_s, rel=0.25, abs=1e-4)
    assert found.fixed_s + 760 * found.per_token_s == pytest.approx(fixed_s + 760 * per_token_s, rel=0.05)


def test_prefills_all_alike_are_taken_for_costs_of_their_tokens():
    found = learned(0.0, 3e-5, tokens=(700, 700))
    assert (found.fixed_s, found.per_token_s) == (pytest.approx(0, abs=1e-3), pytest.approx(3e-5, rel=0.05))


def test_without_busy_seconds_the_fastest_interval_is_the_rate():
    found = PrefillCost()
    found.sampled(told(5_000, None), 1.0)
    found.sampled(told(40_000, None), 2.0)
    found.sampled(told(7_000, None), 1.0)
    assert found.per_token_s == pytest.approx(1 / 20_000, rel=0.01)
    assert found.fixed_s == 0


def test_a_fiftieth_of_a_second_of_prefill_is_enough():
    found = PrefillCost()
    found.sampled(told(900, 0.018), 1.0)
    assert found.per_token_s is None
    found.sampled(told(600, 0.012), 1.0)
    assert found.per_token_s == pytest.approx(0.02 / 1_000, rel=0.01)


def test_a_second_without_prefill_says_nothing():
    found = learned(0.02, 3e-5)
    before = found.fixed_s, found.per_token_s
    for tokens, busy_s in ((0, 0.0), (None, None), (0, 1.0)):
        found.sampled(told(tokens, busy_s, 5), 1.0)
    assert (found.fixed_s, found.per_token_s) == before


samples = st.tuples(st.none() | st.integers(0, 10**6), st.none() | st.floats(0, 10), st.integers(0, 500))


@given(st.lists(samples, max_size=30))
def test_whatever_an_engine_tells_costs_are_above_zero(told_samples):
    found = PrefillCost()
    for tokens, busy_s, begun in told_samples:
        found.sampled(told(tokens, busy_s, begun), 1.0)
        assert found.fixed_s >= 0
        assert found.per_token_s is None or found.per_token_s > 0


def company(per_s, decoding, fixed_s, seconds=200):
    found = Company()
    for _ in range(seconds):
        for _ in range(per_s):
            found.replied()
        found.sampled(told(None, None, running=decoding), 1.0, fixed_s)
    return found


@given(st.integers(1, 60), st.integers(0, 300), st.floats(0, 0.1))
def test_so_many_begin_together_as_cost_least(per_s, decoding, fixed_s):
    found = company(per_s, decoding, fixed_s)

    def cost(calls):
        return decoding * fixed_s / calls + (calls - 1) / 2 / per_s

    assert cost(found.calls) <= min(cost(calls) for calls in range(1, 17)) + 1e-6


def test_it_is_waited_for_twice_as_long_as_the_others_should_take():
    found = company(20, 16, 0.02)
    assert found.calls == 4
    assert found.hold_s == pytest.approx(2 * 3 / 20, rel=0.01)


@pytest.mark.parametrize("found", [company(20, None, 0.02), company(0, 16, 0.02), company(20, 16, 0.0), Company()])
def test_nobody_waits_where_too_little_is_known(found):
    assert (found.calls, found.hold_s) == (1, 0)
