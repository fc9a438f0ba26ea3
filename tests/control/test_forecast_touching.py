"""Whose KV the default policy has touched, and when."""

import pytest
from laws import POOL, in_tool, law, lived, roster, sampled


def touching(it, since, now, **more):
    return [a.order for a in it.touching(roster(active=[in_tool(n, since=s, **more) for n, s in enumerate(since)], now=now))]


def evicting(it, **more):
    """A law whose agents end and whose engine evicts, with a tool call in ten of five seconds."""
    for number in range(20):
        lived(it, count=1, tool_s=5.0 if number % 10 == 0 else 0.5, now=number * 2.0)
        sampled(it, number * 2, number * 2 + 2, **{"evicted_tokens": 5_000} | more)
    return it


def test_kv_that_may_become_older_than_what_is_dead_is_touched():
    it = evicting(law())  # one has ended every two seconds until 38.0
    assert touching(it, [30.0, 33.0, 38.5], 40.0) == [0, 1]
    assert touching(it, [30.0, 33.0], 40.0, touched=39.5) == []
    assert touching(it, [30.0], 40.0, touched=33.0) == [0]
    assert touching(it, [30.0], 40.0, calls=1) == []


def test_as_long_as_little_is_dead_there_is_time():
    it = evicting(law())
    assert touching(it, [38.5], 60.0) == []  # nobody has ended since
    lived(it, count=3, now=60.0)
    assert touching(it, [38.5, 60.5], 61.0) == [0]


def test_where_nothing_is_known_to_be_dead_time_stands_for_it():
    it = evicting(law())
    sampled(it, 40, 140, evicted_tokens=5_000)
    assert touching(it, [100.0, 139.5], 140.0) == [0]


@pytest.mark.parametrize("more", [{"evicted_tokens": 0}, {"frees_ended": True}, {"host_tokens": POOL}, {"prefill_tokens": None}])
def test_nobody_is_touched_where_nothing_is_gained_by_it(more):
    assert touching(evicting(law(), **more), [30.0], 40.0) == []


def test_touches_can_be_left_out():
    assert touching(evicting(law(touch=False)), [30.0], 40.0) == []


def test_a_minute_without_evictions_ends_the_touches():
    it = evicting(law())
    sampled(it, 40, 110, evicted_tokens=0)
    assert touching(it, [100.0], 110.0) == []


def test_touches_leave_more_of_the_pool():
    touched, left = (evicting(law(touch=touch)) for touch in (True, False))
    assert sampled(touched, 40, 45).tokens > sampled(left, 40, 45).tokens
