"""What kinds of tasks are like, learned from replies."""

import pytest

from concur_batch.control.base import AgentView
from concur_batch.control.kinds import Kinds, own_tokens


def live(kinds, steps, *, first=1000, growth=100, shared=0, group="", end=True):
    """One agent's replies."""
    agent = AgentView(rollout="a", order=0, group=group, shared_tokens=shared)
    for step in range(1, steps + 1):
        agent.steps, agent.growth_tokens = step, first if step == 1 else growth
        agent.context_tokens += agent.growth_tokens
        kinds.replied(agent)
    if end:
        kinds.ended(agent)
    return agent


def of(kinds, group=""):
    return kinds.of(AgentView(rollout="x", order=9, group=group))


def test_before_anything_is_heard():
    kind = of(Kinds())
    assert (kind.first_tokens, kind.shared_tokens, kind.growth_tokens, kind.long_share) == (4096, 0, 1800, 0)


def test_the_first_context_is_the_mean_at_once():
    kinds = Kinds()
    for first in (1000, 3000):
        live(kinds, 1, first=first)
    assert of(kinds).first_tokens == 2000


def test_what_is_shared_is_the_median_of_what_the_cache_held():
    kinds = Kinds()
    for shared in (0, 500, 500, 9000, 500):
        live(kinds, 1, shared=shared)
    assert of(kinds).shared_tokens == 500


def test_never_more_is_shared_than_a_first_context():
    kinds = Kinds()
    live(kinds, 1, first=300, shared=300)
    live(kinds, 1, first=100, shared=300)
    assert of(kinds).shared_tokens == 200


def test_growth_comes_from_what_is_private_of_the_first_context_to_what_is_seen():
    kinds = Kinds()
    live(kinds, 2, first=1000, growth=100, shared=400)
    assert 500 < of(kinds).growth_tokens < 600
    for _ in range(100):
        live(kinds, 20, first=1000, growth=100, shared=400)
    assert 100 < of(kinds).growth_tokens < 115


def test_on_a_small_pool_agents_are_taken_to_grow_so_little_that_it_holds_eight_of_them():
    kinds = Kinds()
    live(kinds, 1, first=900, shared=300, end=False)
    assert of(kinds).growth_tokens == 600  # nothing is known of the pool
    found = []
    for pool in (10**6, 40_000, 20_000, 8_000):
        kinds.whole.pool_tokens = pool
        kinds.count_unheard([])
        found.append(of(kinds).growth_tokens)
    assert found == [600, (40_000 / 8 - 600) / 10, (20_000 / 8 - 600) / 10, (8_000 / 8 - 600) / 10 + 24]  # but 64 at least


def test_those_who_have_not_been_heard_count_as_the_prior():
    kinds = Kinds()
    live(kinds, 40)
    before = of(kinds).growth_tokens
    kinds.count_unheard([AgentView(rollout=str(n), order=n, steps=n % 2) for n in range(100)])
    assert before + 100 < of(kinds).growth_tokens < 1000
    kinds.count_unheard([AgentView(rollout="old", order=0, steps=2)])
    assert of(kinds).growth_tokens == before


def test_growth_is_never_nothing():
    kinds = Kinds()
    live(kinds, 500, first=1, growth=0)
    assert of(kinds).growth_tokens == 64


def test_groups_learn_apart():
    kinds = Kinds()
    for _ in range(200):
        live(kinds, 5, first=8000, growth=2000, group="big")
        live(kinds, 20, first=500, growth=100, shared=200, group="small")
    big, small = of(kinds, "big"), of(kinds, "small")
    assert (big.first_tokens, big.shared_tokens, small.first_tokens, small.shared_tokens) == (8000, 0, 500, 200)
    assert big.growth_tokens > 10 * small.growth_tokens
    assert 5 <= big.survival.mean_steps < 8
    assert 19 < small.survival.mean_steps < 21


def test_a_group_not_heard_of_is_like_the_whole():
    kinds = Kinds()
    for group in "ab":
        live(kinds, 12, group=group)
    assert of(kinds, "c") is kinds.whole


def test_a_new_group_begins_as_the_whole():
    kinds = Kinds()
    for _ in range(50):
        live(kinds, 6, group="a")
    live(kinds, 1, group="b", end=False)
    assert of(kinds, "b").survival.hazard(6) == pytest.approx(kinds.whole.survival.plain_hazard(6), rel=0.05)


def test_that_one_group_is_of_short_agents_says_little_of_another():
    kinds = Kinds()
    for _ in range(4):
        live(kinds, 1, group="a")
    live(kinds, 1, group="b", end=False)
    assert of(kinds, "a").survival.mean_steps < 4
    assert of(kinds, "b").survival.mean_steps > 10


def test_of_siblings_only_the_first_has_brought_their_prompt():
    kinds = Kinds()
    views = []
    for n in range(80):
        shared = 200 if n % 8 == 0 else 900
        views.append(AgentView(rollout=str(n), order=n, steps=1, context_tokens=1000, shared_tokens=shared))
        kinds.replied(views[-1])
    assert kinds.whole.shared_tokens == 200
    assert [own_tokens(view, kinds.whole) for view in views[:3]] == [800, 100, 100]
    assert kinds.whole.first_own_tokens == pytest.approx((800 + 7 * 100) / 8)


def test_one_first_prompt_in_64_that_found_less_counts_for_nothing():
    kinds = Kinds()
    for n in range(130):
        kinds.replied(AgentView(rollout=str(n), order=n, steps=1, context_tokens=1000, shared_tokens=7 if n == 3 else 200))
    assert kinds.whole.shared_tokens == 200


def test_an_agent_is_known_to_go_on_when_its_tools_are_back():
    """Before its next reply: so the first few that end are not taken for all."""
    waited, told = Kinds(), Kinds()
    for kinds in (waited, told):
        for n in range(9):
            kinds.replied(AgentView(rollout=str(n), order=n, steps=1, context_tokens=1000))
    for n in range(6):
        told.tool_ended(AgentView(rollout=str(n), order=n, steps=1, context_tokens=1000), long=False)
    for kinds in (waited, told):
        for n in range(6, 9):
            kinds.ended(AgentView(rollout=str(n), order=n, steps=1, context_tokens=1000))
    assert waited.whole.survival.mean_steps < 8
    assert told.whole.survival.mean_steps > 11


def test_that_an_agent_goes_on_counts_once():
    once, twice = Kinds(), Kinds()
    for kinds in (once, twice):
        for steps in range(1, 4):
            view = AgentView(rollout="a", order=0, steps=steps, context_tokens=1000 * steps)
            kinds.replied(view)
            for _ in range(2 if kinds is twice else 0):
                kinds.tool_ended(view, long=False)
    assert twice.whole.survival.hazard(2) == pytest.approx(once.whole.survival.hazard(2), abs=2e-3)


def test_one_group_is_the_whole():
    kinds = Kinds()
    live(kinds, 3, group="a")
    assert of(kinds, "a") is kinds.whole


def test_groups_beyond_the_64th_are_as_the_whole():
    kinds = Kinds()
    for number in range(64):
        live(kinds, 3, group=str(number))
    assert of(kinds, "5") is not kinds.whole
    for number in range(64, 500):
        live(kinds, 3, group=str(number))
    assert of(kinds, "5") is not kinds.whole
    assert of(kinds, "499") is kinds.whole
    assert kinds.whole.survival.mean_steps


def test_long_calls_are_a_share_once_eight_have_been_seen():
    kinds = Kinds()
    agent = AgentView(rollout="a", order=0)
    for number in range(7):
        kinds.tool_ended(agent, long=number % 2 == 0)
    assert kinds.whole.long_share == 0
    for number in range(7, 400):
        kinds.tool_ended(agent, long=number % 2 == 0)
    assert abs(kinds.whole.long_share - 0.5) < 0.01
    for _ in range(2000):
        kinds.tool_ended(agent, long=False)
    assert kinds.whole.long_share < 0.01
