"""How far the pool may be filled, sample by sample."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Sample
from concur_batch.control.forecast_parameters import ForecastParameters
from concur_batch.control.room import Room

POOL = 100_000


def room():
    return Room(ForecastParameters(fill=0.9, cut=0.9))


def sample(time, missed=0, history=10_000, capacity=POOL, **more):
    fields = {"prompt_tokens": history, "cached_tokens": None if missed is None else history - missed} | more
    return Sample(engine="e", time=time, capacity_tokens=capacity, history_tokens=history, missed_tokens=missed, **fields)


def told(it, samples, interval_s=1.0, *, used=1.0, present=0.0):
    """The reasons."""
    return [it.sampled(one, interval_s, used=used, present=present) for one in samples]


def missing(start, stop, missed=5_000, **more):
    return [sample(float(t), missed, **more) for t in range(start, stop)]


def test_misses_cut_once_per_window():
    it = room()
    reasons = told(it, missing(1, 22))
    assert [t for t, reason in enumerate(reasons, start=1) if reason == "cut"] == [1, 11, 21]
    assert it.fill == pytest.approx(0.9 * 0.9**3)


def test_no_cut_while_agents_still_exceed_the_limit():
    it = room()
    assert set(told(it, missing(1, 30), used=1.1)) == {"cooldown"}
    assert it.fill == 0.9
    assert told(it, missing(30, 31)) == ["cut"]


def test_it_rises_to_where_it_began_and_no_higher():
    it = room()
    told(it, missing(1, 40))
    low = it.fill
    reasons = told(it, missing(40, 500, missed=0, evicted_tokens=10))
    assert low < 0.7
    assert reasons[5] in {"cut", "cooldown"}  # what has been missed a moment ago still counts
    assert set(reasons[10:20]) == {"grow"}
    assert reasons[-1] == "hold"
    assert it.fill == pytest.approx(0.9)


def test_a_few_misses_change_nothing():
    it = room()
    assert set(told(it, missing(1, 60, missed=500))) == {"hold"}
    assert it.fill == 0.9


def test_the_cut_stops_at_a_twentieth():
    it = room()
    assert told(it, missing(1, 1000))[-1] in {"hold", "cooldown"}
    assert it.fill == 0.05


def test_a_limit_that_is_far_from_reached_is_cut_from_what_is_there():
    it = room()
    assert told(it, missing(1, 2), used=0.5) == ["cut"]
    assert it.fill == pytest.approx(0.9 * 0.6 * 0.9)


def test_without_a_limit_misses_are_nobodys_fault():
    it = room()
    assert "cut" not in told(it, missing(1, 60), used=None)
    assert it.fill == 0.9


@given(st.lists(st.tuples(st.integers(0, 10_000), st.none() | st.floats(0, 2)), max_size=60))
def test_always_between_a_twentieth_and_where_it_began(path):
    it = room()
    for time, (missed, used) in enumerate(path, start=1):
        told(it, [sample(float(time), missed, evicted_tokens=1)], used=used)
        assert 0.05 <= it.fill <= 0.9
        assert 0 < it.tokens(float(time), 5.0) <= 0.9 * POOL


def test_more_than_the_told_pool_can_hold_shows_that_it_is_larger():
    """A fifth of the pool is resident, and that is all contexts, each of which has been found."""
    it = room()
    told(it, missing(1, 200, missed=0, resident=0.2), present=0.85 * POOL)
    raised = it.fill
    assert raised > 1.5
    told(it, missing(200, 240))
    assert it.fill < 0.8 * raised


@pytest.mark.parametrize(
    "more",
    [
        {"resident": 0.87},  # it is where it should be, though for minutes nothing has had to be evicted
        {"resident": None},
        {"resident": 0.2, "host_tokens": 3 * POOL, "capacity": 3 * POOL},  # the rest may be in host memory
        {"resident": 0.2, "missed": 300},  # some of it is not there
    ],
)
def test_a_pool_is_not_taken_for_larger_than_what_is_there_shows(more):
    it = room()
    told(it, missing(1, 200, **{"missed": 0, "evicted_tokens": 0} | more), present=0.85 * POOL)
    assert it.fill <= 0.9


def test_not_full_says_nothing_of_a_larger_pool():
    it = room()
    told(it, missing(1, 200, missed=0, resident=0.2), used=0.8, present=0.85 * POOL)
    assert it.fill == 0.9


def test_misses_that_go_on_cut_again_though_what_is_there_stays_above_the_limit():
    """Agents that live for long hover where they do not pause yet, so that the first cut never drains."""
    it = room()
    assert told(it, missing(1, 2)) == ["cut"]
    reasons = told(it, missing(2, 260), used=1.02)
    assert reasons.count("cut") == 3
    assert reasons.index("cut") >= 60


def test_a_host_tier_raises_the_top():
    it = room()
    told(it, missing(1, 1000, missed=0, evicted_tokens=500, host_tokens=3 * POOL))
    assert it.fill == pytest.approx(2.7)


def test_no_reading_and_no_replies_change_nothing():
    it = room()
    told(it, [sample(1.0)])
    tokens = it.tokens(1.0, 0.0)
    none = [Sample(engine="e", time=float(t), cached_tokens=None, missed_tokens=None) for t in range(2, 60)]
    assert set(told(it, none)) <= {"hold"}
    assert it.tokens(60.0, 0.0) == tokens


def test_a_pool_that_changes_is_followed():
    it = room()
    told(it, [sample(1.0), sample(2.0, capacity=None)])
    assert it.tokens(2.0, 0.0) == 0.9 * POOL
    told(it, [sample(3.0, capacity=POOL // 2)])
    assert it.tokens(3.0, 0.0) == 0.45 * POOL


# KV left behind ----------------------------------------------------------------------------------------------------------


def test_dead_kv_takes_room_for_as_long_as_usual_calls_take():
    it = room()
    told(it, [sample(1.0)])
    for second in range(60):
        it.left(float(second), 100)
    assert it.tokens(59.0, 0.0) == 0.9 * POOL
    assert it.tokens(59.0, 20.0) == pytest.approx(0.9 * POOL - 2_000)
    assert it.tokens(500.0, 20.0) == 0.9 * POOL


def test_where_dead_kv_is_evicted_first_it_takes_no_room_and_what_is_not_foreseen_has_what_the_fill_leaves_free():
    it = room()
    told(it, [sample(1.0)])
    it.left(1.0, 50_000)
    free, most = 0.1 * POOL, pytest.approx(0.88 * POOL)
    assert it.tokens(1.0, 20.0, dead_first=True) == most
    assert it.tokens(1.0, 20.0, free, dead_first=True) == most
    assert it.tokens(1.0, 20.0, free + 0.05 * POOL, dead_first=True) == pytest.approx(0.85 * POOL)
    assert it.tokens(1.0, 0.0, free) == pytest.approx(0.9 * POOL - free)


@given(st.integers(1, 10**9), st.floats(0, 1000))
def test_dead_kv_never_takes_more_than_its_share(tokens, usual_s):
    it = room()
    told(it, [sample(1.0)])
    it.left(1.0, tokens)
    assert it.tokens(1.0, usual_s) >= 0.6 * POOL - 1
    told(it, missing(2, 1000))
    it.left(1000.0, tokens)
    assert it.tokens(1000.0, usual_s) >= 0.5 * it.fill * POOL - 1


def test_kv_is_stale_when_more_has_been_left_behind_since_than_usually_is_in_that_time():
    it = room()
    for second in range(60):
        it.left(float(second), 100)
    assert it.stale_before(60.0, 5.0) == 54.0  # 500 tokens; six times 100 are more
    assert it.stale_before(80.0, 3.0) == 57.0  # 40 are of the last minute, so 200 tokens: more than since 58.0
    assert it.stale_before(500.0, 3.0) == 497.0


@pytest.mark.parametrize("known", [{"capacity": None, "missed": None}, {}])
def test_what_has_been_left_behind_long_ago_is_forgotten_whatever_the_engine_tells(known):
    it = room()
    told(it, [sample(1.0, **known)])
    tracemalloc.start()
    try:
        for second in range(5_000):
            it.left(float(second), 100.5 + second)
            it.tokens(float(second), 0.0, dead_first=True)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


# A pool of unknown size --------------------------------------------------------------------------------------------------


def test_nothing_known_is_no_limit():
    it = room()
    told(it, [Sample(engine="e", time=1.0, prompt_tokens=500, cached_tokens=None, missed_tokens=None)])
    assert it.tokens(1.0, 0.0) is None


def test_the_guess_grows_while_full_and_is_cut_by_misses():
    it = room()
    told(it, missing(1, 60, missed=0, capacity=None))
    grown = it.pool_tokens
    assert grown > 10 * 65_536
    told(it, missing(60, 80, missed=0, capacity=None), used=0.8)
    assert it.pool_tokens == grown
    assert "cut" in told(it, missing(80, 91, capacity=None))
    cut = it.pool_tokens
    assert cut < 0.8 * grown
    told(it, missing(101, 131, missed=0, capacity=None))
    assert cut < it.pool_tokens < 1.15 * cut  # from now on it feels its way


def test_once_told_the_guess_is_forgotten():
    it = room()
    told(it, missing(1, 9, missed=0, capacity=None))
    told(it, [sample(9.0), sample(10.0, capacity=None)])
    assert it.pool_tokens == POOL


# Replies that do not tell what was cached --------------------------------------------------------------------------------


def counted(start, stop, computed, **more):
    return missing(start, stop, missed=None, prefill_tokens=computed, **more)


def test_what_the_engine_computed_stands_in():
    it = room()
    assert told(it, counted(1, 2, 10_000)) == ["cut"]
    assert set(told(it, counted(30, 37, 100))) == {"grow"}


def test_prompts_longer_than_their_history_are_no_misses():
    it = room()
    assert "cut" not in told(it, counted(1, 20, 4_000, prompt_tokens=14_000))


def test_computed_in_one_second_and_replied_in_another():
    """Calls take longer than a second: only sums over time can be compared."""
    all_missed, none_missed = room(), room()
    path = list(range(1, 20, 2))
    for it, computed in ((all_missed, 10_000), (none_missed, 500)):
        told(it, [one for t in path for one in (*counted(t, t + 1, 0), *counted(t + 1, t + 2, computed, history=0))])
    assert all_missed.fill < 0.9
    assert none_missed.fill == 0.9


def test_neither_replies_nor_counters_change_nothing():
    it = room()
    assert set(told(it, counted(1, 60, None))) == {"hold"}
    assert it.fill == 0.9


def test_another_pool_is_not_larger_than_told_because_the_last_one_was():
    it = room()
    told(it, missing(1, 200, missed=0, resident=0.2), present=0.85 * POOL)
    assert it.fill > 1.5
    told(it, missing(200, 201, missed=0, resident=0.2, capacity=2 * POOL))
    assert it.fill <= 0.9
