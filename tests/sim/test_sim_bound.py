import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.bound import lower_bound_s
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.profile import find_profile
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate, take

COST = FittedCost(
    prefill_fixed_s=0.002,
    prefill_per_token_s=5e-5,
    prefill_per_cached_pair_s=1e-9,
    prefill_per_new_pair_s=1e-9,
    decode_fixed_s=0.01,
    decode_per_request_s=1e-4,
    decode_per_context_token_s=2e-8,
)
ONLY_PREFILL = FittedCost(
    prefill_fixed_s=1.0, prefill_per_token_s=0.01, prefill_per_cached_pair_s=0.1, prefill_per_new_pair_s=0.1
)
ONLY_DECODE = FittedCost(decode_fixed_s=1.0, decode_per_request_s=0.1, decode_per_context_token_s=0.001)
POOL = 100_000
AGENT = AgentTrace(0, 100, (1,), (), ())


@pytest.mark.parametrize(("tp", "pool_tokens", "seconds"), [(2, 282_000, 3156), (4, 800_000, 1225), (8, 1_830_000, 582)])
def test_the_default_workload_on_the_published_profiles(tp, pool_tokens, seconds):
    cost = find_profile(f"qwen3-32b@h100x{tp}").cost
    assert lower_bound_s(generate(WorkloadParameters(), 0), cost, pool_tokens) == pytest.approx(seconds, rel=0.03)


def test_prompts_are_computed_once_in_full_chunks():
    agents = take([dataclasses.replace(AGENT, shared_tokens=40)], 10)
    # 40 shared and 10 x 60 private tokens, these after 40 tokens each: seven chunks of 100
    pairs = 40 * 40 / 2 + 10 * (60 * 40 + 60 * 60 / 2)
    assert lower_bound_s(agents, ONLY_PREFILL, POOL, chunk_tokens=100) == pytest.approx(7 * 1.0 + 640 * 0.01 + pairs * 0.1)


def test_a_later_prompt_adds_its_observation_only():
    agent = AgentTrace(0, 100, (20, 1), (30,), (0.0,))
    pairs = 100 * 100 / 2 + 30 * 120 + 30 * 30 / 2
    seconds = lower_bound_s(take([agent], 4), ONLY_PREFILL, POOL, chunk_tokens=10_000)
    assert seconds == pytest.approx(1.0 + 4 * (130 * 0.01 + pairs * 0.1))


def test_the_batch_is_what_the_pool_holds():
    agent = AgentTrace(50, 100, (21,), (), ())  # 20 decode steps at contexts 101 to 120, of which 50 tokens are shared
    agents = take([agent], 8)
    decoded, context = 8 * 20, 110.5
    for pool_tokens, batch in ((50 + 4 * 60.5, 4), (50 + 2.5 * 60.5, 2.5), (POOL, 8)):
        expected = decoded / batch * (1.0 + 0.1 * batch) + decoded * context * 0.001
        assert lower_bound_s(agents, ONLY_DECODE, pool_tokens) == pytest.approx(expected)


def test_the_longest_agent_alone_may_be_what_lasts():
    long = AgentTrace(0, 10, (11, 1), (10,), (500.0,))
    expected = 500.0 + 10 * (1.1 + 15.5 * 0.001)
    assert lower_bound_s([long, AGENT, AGENT], ONLY_DECODE, POOL) == pytest.approx(expected)


def test_one_who_shares_much_takes_no_room_from_those_who_share_nothing():
    alone = AgentTrace(60_000, 60_100, (1,), (), (), group="long prompts")
    others = take([AgentTrace(0, 500, (2000,), (), ())], 60)
    both = lower_bound_s([alone, *others], COST, 70_000)
    assert both <= lower_bound_s([alone], COST, 70_000) + lower_bound_s(others, COST, 70_000)


def test_what_is_shared_costs_nothing_where_nobody_shares_it():
    cost = find_profile("qwen3-8b@h100x1").cost
    bounds = [lower_bound_s([AgentTrace(shared, 4000, (5,), (), ())], cost, POOL) for shared in (0, 1000, 4000)]
    assert len(set(bounds)) == 1


def test_several_engines_share_the_work_but_not_an_agent():
    agents = take([AGENT], 10)
    assert lower_bound_s(agents, ONLY_PREFILL, POOL, engines=4) == lower_bound_s(agents, ONLY_PREFILL, POOL) / 4
    alone = lower_bound_s(agents[:1], ONLY_PREFILL, POOL)
    assert lower_bound_s(agents, ONLY_PREFILL, POOL, engines=1000) == alone


def test_what_does_not_fit_is_left_out():
    agent = AgentTrace(0, 100, (10, 10), (1000,), (5.0,))
    first_call = AgentTrace(0, 100, (10,), (), ())
    whole = lower_bound_s([agent], COST, POOL)
    assert lower_bound_s([agent], COST, 500) == lower_bound_s([first_call], COST, 500) < whole
    assert lower_bound_s([agent], COST, POOL, context_length=500) == lower_bound_s([first_call], COST, POOL)
    assert lower_bound_s([agent], COST, 50) == 0.0
    assert lower_bound_s([], COST, POOL) == 0.0


@pytest.mark.parametrize(("prompt", "reply"), [(90, 800), (800, 90)])
def test_pages_leave_less_room(prompt, reply):
    agent = AgentTrace(0, prompt, (reply,), (), ())
    assert lower_bound_s([agent], COST, 1000) == lower_bound_s([agent], COST, 1000, page=16) > 0.0
    assert lower_bound_s([agent], COST, 1000, page=64) == 0.0


def test_one_token_replies_need_no_decode_step():
    assert lower_bound_s([AGENT], ONLY_DECODE, POOL) == 0.0


@given(st.integers(1, 20), st.integers(45_000, 400_000), st.integers(1, 50_000))
def test_more_room_never_takes_longer_and_twice_the_agents_never_less(agents, pool_tokens, more):
    traces = generate(WorkloadParameters(agents=agents, most_steps=10), seed=agents)
    seconds = lower_bound_s(traces, COST, pool_tokens)
    assert lower_bound_s(traces, COST, pool_tokens + more) <= seconds * (1 + 1e-9)
    assert lower_bound_s([*traces, *traces], COST, pool_tokens) >= seconds * (1 - 1e-9)
