"""The foreseen peak, against the sum over agents one by one."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur_batch.control.base import AgentView
from concur_batch.control.kinds import Kinds
from concur_batch.control.projection import Crowd, peak_tokens, private_tokens


def learned(*groups, lives=6, shared=300):
    """Kinds that have seen agents of six steps or so."""
    kinds = Kinds()
    for group in groups:
        for number in range(20):
            agent = AgentView(rollout="a", order=0, group=group, shared_tokens=shared)
            for step in range(1, lives + number % 3):
                agent.steps, agent.growth_tokens = step, 1000 if step == 1 else 400
                agent.context_tokens += agent.growth_tokens
                kinds.replied(agent)
            kinds.ended(agent)
    return kinds


def agent(order, steps, context, calls=0, group="a"):
    return AgentView(
        rollout=f"a{order}",
        order=order,
        group=group,
        steps=steps,
        context_tokens=context if steps else 0,
        calls=calls,
    )


def peak(kinds, agents, in_flight=0.0, now=1.0, later=1.0):
    return peak_tokens([Crowd(agents, now, later)], kinds, in_flight)


states = st.tuples(st.integers(0, 20), st.integers(1, 50_000), st.integers(0, 1))
crowds = st.lists(states, max_size=20).map(lambda found: [agent(n, *state) for n, state in enumerate(found)])


def private(one, kinds, in_flight):
    ((_, _, tokens),) = private_tokens([one], kinds, in_flight)
    return tokens


def by_agent(kinds, agents, in_flight, later):
    """The same without rows of agents that are alike, at sixteen points of two mean lives."""
    kind = kinds.whole
    survival, growth, stay = kind.survival, kind.growth_tokens, 1 - kind.long_share

    def expected(one, tau):
        tokens = private(one, kinds, in_flight)
        alive = math.prod(1 - survival.hazard(one.steps + 1 + k) for k in range(tau))
        return alive * (later + (1 - later) * stay**tau) * (tokens + growth * tau)

    steps = [round(2 * survival.mean_steps * j / 15) for j in range(16)]
    return kind.shared_tokens + max(sum(expected(one, tau) for one in agents) for tau in steps)


@settings(max_examples=40)
@given(crowds.filter(bool), st.floats(0, 2000), st.sampled_from([1.0, 0.3]))
def test_equals_the_sum_over_agents(agents, in_flight, later):
    kinds = learned("a")
    kinds.tool_ended(agents[0], long=True)
    for _ in range(9):
        kinds.tool_ended(agents[0], long=False)
    assert peak(kinds, agents, in_flight, later=later) == pytest.approx(by_agent(kinds, agents, in_flight, later), rel=1e-6)


def test_agents_that_will_end_with_their_first_reply_are_not_taken_to_grow():
    kinds = Kinds()
    for number in range(1000):
        one = agent(number, 1, 3000)
        one.growth_tokens = 3000
        kinds.replied(one)
        kinds.ended(one)
    assert peak(kinds, [agent(n, 0, 0) for n in range(10)]) == pytest.approx(30_000, rel=0.02)


@given(crowds, st.floats(0, 2000))
def test_never_below_what_is_there_now(agents, in_flight):
    kinds = learned("a")
    assert peak(kinds, agents, in_flight) >= sum(private(one, kinds, in_flight) for one in agents) * (1 - 1e-9)


@given(crowds, states)
def test_one_more_never_lowers_it(agents, state):
    kinds = learned("a", "b")
    for group in "ab":
        assert peak(kinds, [*agents, agent(99, *state, group=group)]) >= peak(kinds, agents)


def test_nobody_needs_nothing():
    assert peak(Kinds(), []) == 0


def test_what_is_shared_counts_once_per_kind():
    kinds = learned("a", "b")
    one, three = ([agent(n, 1, 1000) for n in range(count)] for count in (1, 3))
    assert peak(kinds, three) - 300 == pytest.approx(3 * (peak(kinds, one) - 300))
    other = agent(1, 1, 1000, group="b")
    assert peak(kinds, [*one, other]) - 600 == pytest.approx(peak(kinds, one) + peak(kinds, [other]) - 600, rel=0.02)


def test_what_is_private():
    kinds = learned("a")
    assert private(agent(0, 3, 2000), kinds, 500) == 1700
    assert private(agent(0, 3, 2000, calls=1), kinds, 500) == 2200
    assert private(agent(0, 3, 100), kinds, 500) == 0
    assert private(agent(0, 0, 0, calls=1), kinds, 500) == 700  # a first context of 1,000, its call being all of it


def test_agents_in_long_tool_calls_count_as_much_as_they_hold():
    kinds = learned("a")
    agents = [agent(n, 3, 2000) for n in range(4)]
    away = [agent(n, 3, 2000) for n in range(10, 20)]
    assert peak(kinds, away, now=0.0, later=0.0) == 300
    assert peak_tokens([Crowd(agents), Crowd(away, 0.0, 0.0)], kinds, 0.0) == pytest.approx(peak(kinds, agents))
    for _ in range(20):
        kinds.tool_ended(agents[0], long=True)
    some = peak_tokens([Crowd(agents), Crowd(away, 0.0, 0.5)], kinds, 0.0)
    assert peak(kinds, agents) < some < peak(kinds, [*agents, *away])


def test_nobody_lives_beyond_a_limit_on_steps():
    kinds = learned("a", lives=40)
    growth, first = kinds.whole.growth_tokens, agent(0, 0, 0)
    free, bound = peak(kinds, [first]), []
    for most in range(1, 60):
        first.most_steps = most
        bound.append(peak(kinds, [first]))
    assert bound[0] == pytest.approx(private(first, kinds, 0.0) + kinds.whole.shared_tokens)
    assert bound[4] <= bound[0] + 4 * growth
    assert bound == sorted(bound)
    assert bound[-1] == pytest.approx(free)


def test_a_limit_that_an_agent_has_passed_is_none():
    kinds = learned("a")
    one = agent(0, 4, 5000)
    free = peak(kinds, [one])
    one.most_steps = 4
    assert peak(kinds, [one]) == free
