"""The default policy where a host tier holds a part of the agents: more than keep the pool busy would only live longer."""

import pytest
from laws import FILL, POOL, agent, law, lived, roster, sampled

HOST = 6 * POOL


def limit(*, waiting, active=8, host_tokens=HOST, model_s=0.0, tool_s=1.0):
    """With so many agents that have not begun, and so many active. All contexts come to some thousand tokens each in the mean."""
    it = lived(law(), tool_s=0.0)
    for n in range(100):
        it.tool_ended(agent(n, tool_started=model_s), tool_s)
    there = {"active": active, "waiting": waiting, "host_tokens": host_tokens}
    sampled(it, 1, 19, **there)
    agents = [agent(n, context=3000, steps=0) for n in range(active)]
    list(it.yielding(roster(active=agents)))  # looks at them, as of the last sample
    return sampled(it, 19, 20, **there).tokens


def test_agents_wait_for_the_pool_however_much_the_host_holds():
    assert limit(waiting=400) == limit(waiting=400, host_tokens=2 * HOST) == POOL
    assert limit(waiting=400, host_tokens=0) < POOL


def test_as_many_more_as_are_in_tool_calls():
    """Of a step of four seconds they are one in a model call."""
    assert limit(waiting=400, model_s=1.0, tool_s=3.0) == pytest.approx(4 * POOL, rel=0.05)


def test_no_more_than_the_host_tier_holds():
    assert limit(waiting=400, model_s=1.0, tool_s=9.0) == pytest.approx(FILL * HOST, rel=0.02)


def test_who_all_fit_into_the_host_tier_all_begin():
    assert limit(waiting=100) == pytest.approx(FILL * HOST, rel=0.02)


def test_near_the_end_all_begin():
    """What is left is less than a life of those who are under way, though it is more than the host tier holds."""
    assert limit(waiting=4, active=400) == pytest.approx(FILL * HOST, rel=0.02)
    assert limit(waiting=400, active=400) == POOL
