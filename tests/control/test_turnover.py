"""Growth by turnover, trims, cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.base import AgentView, Limit, Roster, Sample
from concur_batch.control.policies import make_policy
from concur_batch.control.turnover import Turnover, TurnoverParameters
from concur_batch.errors import InputError


def turnover(max_agents=1024, **parameters):
    return Turnover(TurnoverParameters(**{"first": 40, **parameters}), max_agents, SlotAdmission())


def sample(time, kv=0.3, active=40, running=40, queued=0, **more):
    return Sample(engine="e", time=time, locked=kv, active=active, running_requests=running, queued_requests=queued, **more)


def agents(count, steps=1):
    return [AgentView(rollout=f"a{n}", order=n, steps=steps) for n in range(count)]


def end(law, count, steps=1):
    for agent in agents(count, steps):
        law.ended(agent, Roster(limit=Limit()))


def pausing(law, limit, count):
    active = agents(count)
    roster = Roster(limit=limit, active={a.rollout: a for a in active})
    return [a.order for a in active if not law.may_continue(a, roster)]


# Growth ------------------------------------------------------------------------------------------------------------------


def test_grows_by_a_quarter_when_as_many_have_ended_as_are_active():
    law = turnover()
    law.update(sample(5))
    end(law, 40)
    assert law.update(sample(10)) == Limit(agents=50, reason="grow")


def test_half_a_turnover_is_half_a_step():
    law = turnover(first=100)
    law.update(sample(5, active=100))
    for time in (10, 15):
        end(law, 50)
        limit = law.update(sample(time, active=100))
    assert limit.agents in (124, 125)


def test_more_than_can_be_reckoned_with_grows_it_to_the_most():
    law = turnover(growth=10.0)
    law.update(sample(5, active=0, running=0))
    end(law, 400)
    assert law.update(sample(10, active=40)).agents == 1024


def test_time_alone_does_not_grow_it():
    law = turnover()
    assert {law.update(sample(t)).agents for t in range(5, 500, 5)} == {40}


def test_a_limit_that_does_not_bind_does_not_grow():
    law = turnover()
    law.update(sample(5, active=35))
    end(law, 40)
    assert law.update(sample(10, active=35)) == Limit(agents=40, reason="hold")


def test_agents_that_failed_at_once_are_no_evidence():
    law = turnover()
    law.update(sample(5))
    end(law, 40, steps=0)
    assert law.update(sample(10)).reason == "hold"


@pytest.mark.parametrize("more", [{"kv": 0.61}, {"queued": 1}])
def test_does_not_grow_under_pressure(more):
    law = turnover()
    law.update(sample(5))
    end(law, 40)
    assert law.update(sample(10, **more)).agents == 40


def test_a_missing_reading_freezes_growth():
    law = turnover()
    law.update(sample(5))
    end(law, 40)
    assert law.update(sample(10, kv=None)) == Limit(agents=40, reason="no-evidence")
    assert law.update(sample(25, kv=0.3)).reason == "hold"


def test_without_any_reading_it_is_fixed_and_says_so():
    assert turnover().update(sample(5, kv=None)) == Limit(agents=64, reason="no cache evidence: fixed:64")


def test_the_first_limit_is_what_fits_at_full_length():
    law = turnover(first=None, longest_tokens=10_000)
    assert law.first == Limit(agents=1, reason="first")
    assert law.update(sample(1, active=1, capacity_tokens=255_000)) == Limit(agents=25, reason="pool")


def test_a_pool_that_is_known_beforehand_is_filled_from_the_start():
    law = make_policy("turnover", {"longest_tokens": 10_000}, 1024, pool_tokens=255_000).controller
    assert law.first == Limit(agents=25, reason="first")
    assert law.update(sample(1, active=25, capacity_tokens=255_000)) == Limit(agents=25, reason="hold")
    assert make_policy("turnover", {"first": 9}, 1024, pool_tokens=255_000).controller.first.agents == 9


def test_more_frequent_samples_do_not_make_it_faster():
    law = turnover()
    law.update(sample(5))
    end(law, 40)
    assert [law.update(sample(5 + t)).agents for t in (1, 2, 3, 4, 5)] == [40, 40, 40, 40, 50]


# Trims and cuts ----------------------------------------------------------------------------------------------------------


def test_a_trim_aims_below_the_mark_and_pauses_nobody():
    law = turnover()
    limit = law.update(sample(5, kv=0.85))
    assert limit == Limit(agents=32, reason="trim")
    assert pausing(law, limit, 40) == []
    assert not law.may_start(AgentView(rollout="new", order=99), Roster(limit=limit, active=dict(enumerate(agents(32)))))


def test_a_sharp_trim_pauses_the_newest_until_the_limit_holds():
    law = turnover()
    limit = law.update(sample(5, kv=0.95))
    assert limit == Limit(agents=29, reason="trim")
    assert pausing(law, limit, 40) == list(range(29, 40))
    law.update(sample(6, active=29))
    assert pausing(law, limit, 31) == []


def test_one_trim_has_time_to_work():
    law = turnover()
    assert [law.update(sample(t, kv=0.85)).agents for t in range(5, 35, 5)] == [32] * 6
    assert law.update(sample(35, kv=0.85, active=30)).agents == 24


def test_a_long_queue_cuts_once_and_then_drains():
    law = turnover()
    limits = [law.update(sample(t, queued=30)) for t in range(5, 45, 5)]
    assert [limit.agents for limit in limits] == [40] * 5 + [36] * 3
    assert [limit.reason for limit in limits][-3:] == ["cut", "drain", "drain"]
    assert pausing(law, limits[-1], 40) == [36, 37, 38, 39]
    assert {law.update(sample(t, kv=0.95)).agents for t in (45, 50, 90)} == {36}


@pytest.mark.parametrize(("steps_of_drain", "agents"), [(4, 18), (1, 32)])
def test_a_cut_soon_after_a_drain_is_sharper(steps_of_drain, agents):
    """Soon: the queue has been long during the drain already."""
    law, times = turnover(), iter(range(5, 200, 5))
    for _ in range(6 + steps_of_drain):
        law.update(sample(next(times), queued=30))
    law.update(sample(next(times), active=36, queued=30 if steps_of_drain > 1 else 0))
    reasons = []
    while "cut" not in reasons:
        limit = law.update(sample(next(times), active=36, queued=30))
        reasons.append(limit.reason)
    assert limit.agents == agents


def test_a_short_queue_cuts_nothing():
    law = turnover()
    limits = [law.update(sample(t, queued=30 if t % 25 else 0)) for t in range(5, 300, 5)]
    assert {limit.agents for limit in limits} == {40}


shares = st.one_of(st.none(), st.floats(0, 1))
count = st.integers(0, 300)
reading = st.tuples(shares, count, count, count, st.integers(0, 40), st.floats(0.5, 40))


@given(st.lists(reading, max_size=60), st.integers(1, 300), st.integers(1, 20))
def test_the_limit_stays_within_bounds_whatever_comes(readings, max_agents, floor):
    law, twin = (turnover(max_agents=max_agents, first=None, floor=floor) for _ in range(2))
    time = 0.0
    for kv, active, running, queued, ended, seconds in readings:
        time += seconds
        end(law, ended)
        end(twin, ended)
        seen = sample(time, kv, active, running, queued, capacity_tokens=10**6)
        before = law.first.agents
        limit = law.update(seen)
        assert limit == twin.update(seen)
        assert min(floor, max_agents) <= limit.agents <= max_agents
        assert limit.reason != "no-evidence" or limit.agents == before


def test_by_name_with_checked_parameters():
    policy = make_policy("turnover", {"first": 9, "pause": "largest"}, 1024)
    assert policy.controller is policy.admission
    assert policy.controller.first.agents == 9
    with pytest.raises(InputError, match="did you mean growth"):
        make_policy("turnover", {"grwth": 2}, 1024)
    with pytest.raises(InputError, match="did you mean turnover"):
        make_policy("turnovr", {}, 1024)
