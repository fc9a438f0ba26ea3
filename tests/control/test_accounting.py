"""The contexts of all active agents, held against the pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.accounting import Accounting, AccountingParameters, Pool
from concur_batch.control.base import UNLIMITED, AgentView, Limit, Roster, Sample
from concur_batch.control.policies import make_policy
from concur_batch.errors import InputError


def accounting(**parameters):
    return Accounting(AccountingParameters(**{"buffer_tokens": 0, **parameters}))


def idle(*contexts, first=0):
    return [
        AgentView(rollout=f"i{n}", order=n, context_tokens=c, steps=1, tools=1, tool_started=0.0) for n, c in of(contexts, first)
    ]


def busy(*contexts, first=100):
    return [AgentView(rollout=f"b{n}", order=n, context_tokens=c, steps=1, calls=1) for n, c in of(contexts, first)]


def paused(*contexts, since=0.0):
    return [AgentView(rollout=f"p{n}", order=n, context_tokens=c, steps=1, paused_since=since) for n, c in of(contexts, 200)]


def of(contexts, first):
    return enumerate(contexts, start=first)


def new():
    return AgentView(rollout="new", order=999)


def roster(tokens, active=(), waiting=(), now=0.0, agents=UNLIMITED):
    return Roster(
        limit=Limit(agents=agents, tokens=tokens),
        now=now,
        active={a.rollout: a for a in active},
        paused={a.rollout: a for a in waiting},
        committed_tokens=sum(a.context_tokens for a in active),
    )


def contexts(agents):
    return [agent.context_tokens for agent in agents]


# The pool ----------------------------------------------------------------------------------------------------------------


def test_the_pool_is_the_limit_once_it_is_told():
    pool = Pool(AccountingParameters(), 256)
    assert pool.first == Limit(agents=8, reason="first")
    assert pool.update(Sample(engine="e", time=1.0, capacity_tokens=5000)) == Limit(agents=256, tokens=5000, reason="pool")
    assert pool.update(Sample(engine="e", time=2.0)).tokens == 5000


def test_without_a_pool_it_is_fixed_and_says_so():
    assert Pool(AccountingParameters(), 256).update(Sample(engine="e", time=1.0)) == Limit(64, reason="pool not known: fixed:64")
    assert Pool(AccountingParameters(), 5).update(Sample(engine="e", time=1.0)).agents == 5


@given(st.lists(st.one_of(st.none(), st.integers(1, 10**7))), st.integers(1, 300))
def test_same_samples_same_limits_within_bounds(pools, max_agents):
    one, twin = Pool(AccountingParameters(), max_agents), Pool(AccountingParameters(), max_agents)
    for time, tokens in enumerate(pools, start=1):
        sample = Sample(engine="e", time=float(time), capacity_tokens=tokens)
        limit = one.update(sample)
        assert limit == twin.update(sample)
        assert 1 <= limit.agents <= max_agents


# Pauses ------------------------------------------------------------------------------------------------------------------


def test_the_smallest_in_tool_calls_yield_until_the_rest_fits():
    assert contexts(accounting().yielding(roster(100, idle(50, 20, 40, 30)))) == [20, 30]


def test_what_fits_is_left_alone():
    assert list(accounting().yielding(roster(140, idle(50, 20, 40, 30)))) == []


def test_the_buffer_counts_for_each():
    assert contexts(accounting(buffer_tokens=10).yielding(roster(140, idle(50, 20, 40, 30)))) == [20, 30]


def test_a_weight_makes_tool_calls_count_less():
    law = accounting(acting_weight=0.5)
    assert list(law.yielding(roster(70, idle(50, 20, 40, 30)))) == []
    assert not law.may_start(new(), roster(70, idle(50, 20, 40, 30)))
    assert contexts(accounting(acting_weight=0.5).yielding(roster(120, [*idle(50, 20), *busy(90)]))) == [20]


def test_agents_in_model_calls_come_last_and_pause_at_their_boundary():
    law = accounting()
    there = roster(100, [*idle(80), *busy(30, 60, 50)])
    assert contexts(law.yielding(there)) == [80]
    del there.active["i0"]
    assert [law.may_continue(a, there) for a in there.active.values()] == [False, True, False]


def test_one_told_off_yields_in_its_next_tool_call():
    law = accounting()
    agents = busy(30, 60)
    assert list(law.yielding(roster(70, agents))) == []
    agents[0].calls, agents[0].tools, agents[0].tool_started = 0, 1, 1.0
    assert list(law.yielding(roster(70, agents, now=1.0))) == agents[:1]


def test_the_sum_is_checked_every_interval_s():
    law = accounting(interval_s=5.0)
    assert list(law.yielding(roster(100, idle(90), now=0.0))) == []
    assert list(law.yielding(roster(100, idle(90, 20), now=4.0))) == []
    assert contexts(law.yielding(roster(100, idle(90, 20), now=4.999))) == [20]


def test_a_single_agent_above_the_pool_goes_on():
    law = accounting()
    there = roster(10, busy(500))
    assert list(law.yielding(there)) == list(law.yielding(roster(10, idle(500), now=9.0))) == []
    assert law.may_continue(*there.active.values(), there)


def test_the_last_one_left_goes_on_even_if_it_was_told_off():
    law = accounting()
    agents = busy(30, 60)
    list(law.yielding(roster(70, agents)))
    assert law.may_continue(agents[0], roster(70, agents[:1]))


# Starts and returns ------------------------------------------------------------------------------------------------------


def test_an_agent_starts_where_it_fits():
    law = accounting(first_tokens=10)
    assert law.may_start(new(), roster(100, idle(90)))
    assert not law.may_start(new(), roster(99, idle(90)))
    assert not law.may_start(new(), roster(100, idle(1, 1), agents=2))


def test_with_nobody_active_one_always_starts():
    assert accounting().may_start(new(), roster(1))


def test_new_agents_count_as_first_replies_told():
    law = accounting(first_tokens=10)
    for agent in idle(60, 40):
        law.replied(agent)
    assert law.may_start(new(), roster(100, idle(50)))
    assert not law.may_start(new(), roster(99, idle(50)))
    assert not law.may_start(new(), roster(99, [new()]))


def test_the_smallest_returns_first():
    assert accounting().next_returning(roster(100, waiting=paused(50, 20, 30))).context_tokens == 20
    assert accounting().next_returning(roster(100)) is None


def test_whoever_has_waited_half_an_hour_returns_room_or_not():
    law, waiting = accounting(), [*paused(50, since=100.0), *paused(20, since=200.0)]
    early = roster(100, busy(100), waiting, now=1899.0)
    assert not law.may_start(waiting[0], early)
    late = roster(100, busy(100), waiting[:1], now=1900.0)
    assert law.next_returning(late) is waiting[0]
    assert law.may_start(waiting[0], late)


sizes = st.integers(1, 1000)


@given(st.lists(sizes, min_size=1, max_size=30), st.lists(sizes, max_size=30), st.integers(0, 20_000), st.integers(0, 50))
def test_those_who_stay_fit_into_the_pool(in_tools, in_calls, pool, buffer_tokens):
    law = accounting(buffer_tokens=buffer_tokens)
    agents = [*idle(*in_tools), *busy(*in_calls)]
    there = roster(pool, agents)
    for agent in law.yielding(there):
        del there.active[agent.rollout]
    for agent in in_turn(there.active):
        if not law.may_continue(agent, there):
            del there.active[agent.rollout]
    left = contexts(there.active.values())
    assert len(left) == 1 or sum(left) + buffer_tokens * len(left) <= pool
    assert left
    assert len(left) == len(agents) or sum(contexts(agents)) + buffer_tokens * len(agents) > pool


@given(
    st.lists(sizes, max_size=10), st.lists(st.tuples(sizes, st.floats(0, 5000)), min_size=1, max_size=20), st.integers(0, 5000)
)
def test_nobody_starves(active, waiting, pool):
    """However full the pool is: of those paused for half an hour or more, none is left."""
    law, now = accounting(), 5000.0
    there = roster(pool, busy(*active), now=now)
    for order, (size, since) in enumerate(waiting):
        there.paused[f"p{order}"] = AgentView(rollout=f"p{order}", order=order, context_tokens=size, paused_since=since, steps=1)
    while (agent := law.next_returning(there)) is not None and law.may_start(agent, there):
        there.active[agent.rollout] = there.paused.pop(agent.rollout)
    assert all(now - agent.paused_since < 1800 for agent in there.paused.values())
    assert there.active


def in_turn(active):
    return list(active.values())


def test_by_name_with_checked_parameters():
    policy = make_policy("accounting", {"acting_weight": 0.1}, 1024)
    assert isinstance(policy.admission, Accounting)
    with pytest.raises(InputError, match="did you mean acting_weight"):
        make_policy("accounting", {"acting_wait": 0.1}, 1024)
    with pytest.raises(InputError, match="did you mean accounting"):
        make_policy("acounting", {}, 1024)
