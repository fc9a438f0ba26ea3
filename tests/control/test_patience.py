"""How long a tool call is worth waiting for."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.patience import Patience


def patience(calls=(), break_even_s=10.0, dead=0.0, endless=0, touch=None):
    found = Patience()
    found.sampled(break_even_s * 10_000, 1e-4, 1.0)
    for seconds in calls:
        found.ended(seconds)
    for _ in range(endless):
        found.overdue()
    found.settle(dead, touch)
    return found


def test_break_even_is_what_it_takes_to_prefill_the_pool():
    found = Patience()
    found.sampled(500_000, 1e-4, 1.0)
    assert found.break_even_s == 50
    found.sampled(500_000, 2e-4, 1.0)
    assert found.break_even_s == 100


def test_nothing_told_and_nobody_is_impatient():
    found = Patience()
    for _ in range(20):
        found.ended(1e6)
    for pool, per_token_s in ((1e6, None), (None, 1e-4)):
        found.sampled(pool, per_token_s, 1.0)
        found.settle(0.0)
        assert (found.break_even_s, found.usual_s, found.long_share) == (None, 0, 0)


def test_a_few_calls_say_nothing():
    assert patience([100.0] * 7).long_share == 0
    assert patience([100.0] * 8).long_share == 1


@pytest.mark.parametrize(("calls", "usual_s"), [([1.0] * 20, 1.0), ([60.0] * 20, 0.0), ([1.0] * 15 + [60.0] * 5, 1.0)])
def test_usual_calls_are_those_worth_keeping_for(calls, usual_s):
    assert patience(calls).usual_s == usual_s


def test_dead_kv_makes_keeping_dearer():
    rng = random.Random(0)
    calls = [rng.lognormvariate(1.0, 1.0) for _ in range(100)]
    found = [patience(calls, dead=dead).usual_s for dead in (0.0, 0.3, 3.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


@given(st.lists(st.floats(0.01, 100), min_size=8, max_size=40), st.integers(0, 8), st.floats(1, 100), st.floats(0, 2))
def test_the_usual_time_costs_least(calls, endless, break_even_s, dead):
    def cost(a):
        held = sum(min(t, a) for t in calls) + endless * a
        return (held / len(all_) + dead * a) / break_even_s + sum(t > a for t in all_) / len(all_)

    all_ = [*calls, *[math.inf] * endless]
    found = patience(calls, break_even_s, dead, endless)
    least = min(cost(a) for a in [0.0, *calls] if a <= found.break_even_s)  # as it measured it
    assert cost(found.usual_s) == pytest.approx(least)
    assert found.usual_s <= found.break_even_s


@given(st.lists(st.floats(0.01, 100), min_size=8, max_size=40), st.floats(1, 100), st.floats(0, 2), st.floats(0.001, 1))
def test_touches_are_chosen_where_they_cost_less(calls, break_even_s, dead, touch):
    def dead_s(it):
        return dead * it.usual_s / it.break_even_s

    without, found = patience(calls, break_even_s, dead), patience(calls, break_even_s, dead, touch=touch)
    if found.touch_s is None:
        assert found.usual_s == without.usual_s
        return
    assert 1.0 <= found.touch_s < found.usual_s <= found.touch_s + 1.0
    ends = [t for t in calls if t <= found.break_even_s]
    lost = sum(t > without.usual_s for t in calls)
    held = sum(min(t, without.usual_s) for t in calls) / found.break_even_s
    kept = sum(ends) / found.break_even_s + 2 * (len(calls) - len(ends))
    fewest = touch * sum(t >= found.touch_s for t in ends)  # one at least for each call that is so long
    assert (kept + fewest) / len(calls) + dead_s(found) < (held + lost) / len(calls) + dead_s(without) + 1e-9


def test_touches_need_dead_kv_calls_that_outlast_it_and_to_be_cheap():
    calls = [1.0] * 30 + [6.0] * 10
    assert patience(calls, dead=0.5).touch_s is None
    often, seldom = (patience(calls, dead=0.5, touch=touch) for touch in (0.001, 0.05))
    assert often.touch_s < seldom.touch_s
    assert often.usual_s <= seldom.usual_s
    for other in (patience(calls, dead=0.0, touch=0.02), patience(calls, dead=0.5, touch=1.0)):
        assert other.touch_s is None
    assert patience([1.0] * 40, dead=0.5, touch=0.02).touch_s is None


def test_calls_beyond_break_even_are_a_share_endless_ones_too():
    assert patience([1.0] * 6 + [11.0] * 2, endless=2).long_share == pytest.approx(0.4)
    assert patience([1.0] * 2, endless=18).usual_s == 0


def test_what_was_long_ago_is_forgotten():
    found = patience([100.0] * 600)
    for _ in range(512):
        found.ended(1.0)
    found.settle(0.0)
    assert (found.usual_s, found.long_share) == (1.0, 0)


def test_a_pool_that_takes_days_to_prefill_is_settled_at_once():
    found = patience([1.0, 2.0, 30.0] * 20, break_even_s=1e12, dead=0.5, endless=3, touch=1e-3)
    assert found.break_even_s == pytest.approx(1e12)
