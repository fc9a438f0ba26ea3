import dataclasses
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.errors import InputError
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate, hinted, scaled, take

TRACE = AgentTrace(100, 150, (10, 20, 30), (5, 7), (0.5, 2.0))


@st.composite
def agents(draw):
    steps = draw(st.integers(1, 5))
    tokens = st.integers(1, 10_000)
    prompt = draw(tokens)
    return AgentTrace(
        draw(st.integers(0, prompt)),
        prompt,
        tuple(draw(st.lists(tokens, min_size=steps, max_size=steps))),
        tuple(draw(st.lists(tokens, min_size=steps - 1, max_size=steps - 1))),
        tuple(draw(st.lists(st.floats(0, 1e6), min_size=steps - 1, max_size=steps - 1))),
    )


def test_a_prompt_is_all_that_came_before():
    assert TRACE.prompts() == [150, 165, 192]
    assert TRACE.final_tokens == 192 + 30


@pytest.mark.parametrize(
    "fields",
    [
        {"outputs": (10, 20)},
        {"tool_seconds": (0.5,)},
        {"outputs": (10, 0, 30)},
        {"observations": (5, -1)},
        {"shared_tokens": 151},
        {"tool_seconds": (0.5, float("nan"))},
        {"tool_seconds": (0.5, -1.0)},
    ],
)
def test_a_trace_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match=r"\w"):
        dataclasses.replace(TRACE, **fields)


def test_the_default_workload_is_the_published_one():
    agents = generate(WorkloadParameters(), seed=0)
    assert len(agents) == 256
    assert {agent.shared_tokens for agent in agents} == {2000}
    unique_prompt = 2000 + sum(agent.prompt_tokens - 2000 + sum(agent.observations) for agent in agents)
    assert unique_prompt == 4_838_491
    assert sum(sum(agent.outputs) for agent in agents) == 1_742_820
    assert statistics.mean(agent.final_tokens - 2000 for agent in agents) == pytest.approx(25_700, abs=1)
    assert max(agent.final_tokens - 2000 for agent in agents) <= 38_000
    assert {len(agent.outputs) for agent in agents} <= set(range(1, 31))


def test_a_seed_means_the_same_agents_and_fewer_agents_are_the_first_of_them():
    few = generate(WorkloadParameters(agents=3), seed=7)
    assert few == generate(WorkloadParameters(agents=8), seed=7)[:3]
    assert few != generate(WorkloadParameters(agents=3), seed=8)


def test_draws_stay_within_their_bounds():
    parameters = WorkloadParameters(
        agents=20, output_sigma=4.0, least_output=50, most_output=300, tool_sigma=5.0, most_tool_s=9.0, observation_sigma=4.0
    )
    drawn = generate(parameters, seed=1)
    assert all(50 <= output <= 300 for agent in drawn for output in agent.outputs)
    assert all(seconds <= 9.0 for agent in drawn for seconds in agent.tool_seconds)
    assert all(observation >= 8 for agent in drawn for observation in agent.observations)


def test_numbers_at_their_bounds_are_drawn_from_and_no_count_is_more_than_a_script_can_hold():
    most = 999_999_999
    tokens = dict.fromkeys(("start_tokens", "most_output", "output_median", "observation_median", "most_private_tokens"), most)
    sigmas = dict.fromkeys(("output_sigma", "observation_sigma", "tool_sigma", "scale_sigma"), 10)
    for agent in generate(WorkloadParameters(agents=20, tool_median_s=604_800, **tokens, **sigmas), seed=0):
        assert agent.prompt_tokens - agent.shared_tokens <= most
        assert max(*agent.outputs, *agent.observations, 1) <= most
    [agent] = generate(WorkloadParameters(agents=1, scale_sigma=0, observation_sigma=10, observation_median=most), seed=0)
    assert max(agent.observations, default=0) <= most


def test_the_first_step_is_done_however_long_it_is():
    agent = generate(WorkloadParameters(agents=1, most_private_tokens=10), seed=0)[0]
    assert len(agent.outputs) == 1
    assert agent.observations == agent.tool_seconds == ()


def test_without_spread_all_agents_have_the_medians():
    parameters = WorkloadParameters(
        agents=2, least_steps=3, most_steps=3, output_sigma=0, observation_sigma=0, tool_sigma=0, scale_sigma=0
    )
    first, second = generate(parameters, seed=0)
    assert first == second
    assert first.prompt_tokens == 3500
    assert first.outputs == pytest.approx((250, 250, 250), abs=1)
    assert first.observations == pytest.approx((650, 650), abs=1)
    assert first.tool_seconds == (1.0, 1.0)


@pytest.mark.parametrize(
    ("given_parameters", "text"),
    [
        ({"agents": 0}, "agents is 0; it should be 1 to 1,000,000"),
        ({"agents": 10**20}, "it should be 1 to 1,000,000"),
        ({"most_steps": 10**6}, "most_steps is 1000000; it should be 1 to 100,000"),
        ({"start_tokens": 99_999_999_999}, "start_tokens is 99999999999; it should be 1 to 999,999,999"),
        ({"tool_median_s": 0.0}, "tool_median_s is 0.0; it should be above 0 and at most 604,800"),
        ({"output_median": 1e308}, r"output_median is 1e\+308; it should be above 0 and at most 999,999,999"),
        ({"scale_sigma": float("nan")}, "scale_sigma is nan; it should be 0 to 10"),
        ({"output_sigma": 1e30}, r"output_sigma is 1e\+30; it should be 0 to 10"),
        ({"tool_sigma": 800}, "tool_sigma is 800; it should be 0 to 10"),
        ({"most_steps": 5}, r"most_steps is 5; it should be at least least_steps \(10\)"),
        ({"most_output": 7}, "most_output is 7; it should be at least least_output"),
    ],
)
def test_parameters_that_cannot_be_drawn_from_are_refused(given_parameters, text):
    with pytest.raises(InputError, match=text):
        WorkloadParameters(**given_parameters)


def test_more_agents_than_traces_begin_again():
    other = dataclasses.replace(TRACE, prompt_tokens=200)
    assert take([TRACE, other], 5) == [TRACE, other, TRACE, other, TRACE]
    assert take([TRACE, other], 1) == [TRACE]
    with pytest.raises(ValueError, match="no agents"):
        take([], 1)


def test_scales_apply_to_tokens_and_to_time():
    assert scaled(TRACE, 0.1, 2.0) == AgentTrace(10, 15, (1, 2, 3), (1, 1), (1.0, 4.0))


@given(agents(), st.floats(0, 100), st.floats(0, 100))
def test_no_scale_makes_a_count_vanish(agent, token_scale, time_scale):
    small = scaled(agent, token_scale, time_scale)
    assert len(small.outputs) == len(agent.outputs)
    assert (small.shared_tokens == 0) == (agent.shared_tokens == 0)
    assert scaled(agent, 1.0, 1.0) == agent


def test_guesses_are_the_truth_times_a_lognormal_factor():
    agents = generate(WorkloadParameters(), seed=0)
    assert [agent.expected_tokens for agent in hinted(agents, 0.0, 3)] == [agent.final_tokens for agent in agents]
    guessed = hinted(agents, 0.5, 3)
    assert guessed == hinted(agents, 0.5, 3) != hinted(agents, 0.5, 4)
    factors = [math.log(agent.expected_tokens / agent.final_tokens) for agent in guessed]
    assert statistics.mean(factors) == pytest.approx(0.0, abs=0.1)
    assert statistics.stdev(factors) == pytest.approx(0.5, abs=0.05)
    assert [dataclasses.replace(agent, expected_tokens=None) for agent in guessed] == agents


def test_a_guess_is_scaled_with_the_counts():
    assert scaled(dataclasses.replace(TRACE, expected_tokens=301), 0.1, 1.0).expected_tokens == 30
    assert scaled(TRACE, 0.1, 1.0).expected_tokens is None
