"""What a person's keys make of the limits, and that no controller takes a run held back for one that has room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.aimd import Aimd, AimdParameters
from concur_batch.control.base import AgentView, Limit, Roster, Sample
from concur_batch.control.forecast_parameters import ForecastParameters
from concur_batch.control.room import Room
from concur_batch.control.steering import MOST, Steering
from concur_batch.control.turnover import Turnover, TurnoverParameters

HELD_BACK = [{"held": True}, {"factor": 0.9}]
NUDGES = st.integers(-MOST, MOST)


def nudged(by):
    return Steering().nudged(by)


def test_without_nudges_the_decision_holds_as_it_is():
    decided = Limit(agents=7, tokens=1234, requests=3, reason="grow")
    assert Steering().in_force(decided, 5) is decided
    assert Steering(held=True).in_force(decided, 5) is decided


def test_each_limit_is_scaled_and_none_stays_none():
    decided = Limit(agents=100, tokens=1000, reason="grow")
    assert nudged(1).in_force(decided, 1024) == Limit(agents=110, tokens=1100, reason="grow")
    assert nudged(-1).in_force(decided, 1024) == Limit(agents=90, tokens=909, reason="grow")
    assert nudged(1).in_force(Limit(agents=4, requests=10), 1024).requests == 11


def test_max_agents_binds_whatever_is_asked_for():
    assert nudged(5).in_force(Limit(agents=60), 64).agents == 64


def test_a_limit_that_holds_nobody_back_is_scaled_from_those_who_are_there():
    """Else whoever presses `-` under `off` would have to press it as often as the limit is larger than the batch."""
    steering = Steering(rollouts=100).nudged(-1)
    assert steering.in_force(Limit(agents=1024), 1024).agents == 90
    assert steering.in_force(Limit(agents=50), 1024).agents == 45
    assert steering.in_force(Limit(), 64).agents == 64


def test_a_limit_that_holds_nobody_back_stays_where_another_does_or_where_more_may_run():
    """Else a person under `requests:4` would come to hold agents back besides, and `+` under `fixed:8` lower the limit."""
    steering = Steering(rollouts=6)
    assert steering.nudged(-1).in_force(Limit(agents=1000, requests=4), 1024).agents == 909
    assert steering.nudged(-1).in_force(Limit(agents=1000, tokens=4000), 1024).agents == 909
    assert steering.nudged(1).in_force(Limit(agents=8), 1024).agents == 8
    assert steering.nudged(3).in_force(Limit(agents=8), 1024).agents == 10


@given(NUDGES, st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 2000))
def test_a_factor_never_stops_a_run(by, agents, tokens, requests, most):
    steering = nudged(by)
    limit = steering.in_force(Limit(agents=min(agents, most), tokens=tokens, requests=requests), most)
    assert 1 <= limit.agents <= most
    assert limit.tokens >= 1
    assert limit.requests >= 1
    assert limit.agents <= max(1, min(agents, most) * steering.factor + 1e-6)


@given(st.lists(st.sampled_from([1, -1]), max_size=40))
def test_as_many_up_as_down_are_none_at_all(presses):
    steering = Steering()
    for by in presses:
        steering = steering.nudged(by)
        assert 0.1 < steering.factor < 10
    if len(presses) <= MOST:
        back = steering.nudged(-sum(presses))
        assert back == Steering()
        assert back.factor == 1.0


def test_the_reset_leaves_admission_held():
    assert nudged(3).toggled().reset() == Steering(held=True)
    assert Steering().toggled().toggled() == Steering()


# Controllers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", HELD_BACK)
def test_aimd_does_not_grow_on_little_use_that_a_person_brought_about(more):
    law = Aimd(AimdParameters(first=20), 1024)
    fields = {"engine": "e", "prompt_tokens": 1000, "cached_tokens": 900, "active": 3}
    for time in range(1, 600):
        limit = law.update(Sample(time=time, locked=0.01, **fields, **more))
        assert (limit.agents, limit.reason) == (20, "no-evidence")
    assert law.update(Sample(time=600, locked=0.01, **fields)).agents == 22


def test_aimd_still_cuts_while_a_person_holds_admission():
    law = Aimd(AimdParameters(first=20), 1024)
    assert law.update(Sample(engine="e", time=1, locked=0.9, prompt_tokens=1000, cached_tokens=0, held=True)).agents == 10


def room_after(seconds, used, **more):
    it = Room(ForecastParameters(fill=0.9, cut=0.9))
    fields = {"engine": "e", "capacity_tokens": 100_000, "prompt_tokens": 1000, "history_tokens": 1000, "resident": 0.1}
    for time in range(seconds):
        it.sampled(Sample(time=time, missed_tokens=0, cached_tokens=1000, **fields, **more), 1.0, used=used, present=90_000)
    return it


@pytest.mark.parametrize("more", HELD_BACK)
def test_forecast_does_not_take_a_pool_for_larger_that_a_person_keeps_half_empty(more):
    assert room_after(600, 0.99).fill > 1.0
    assert room_after(600, 0.99, **more).fill == 0.9
    assert room_after(600, 0.05, **more).fill == 0.9


def test_forecast_does_not_cut_down_to_the_few_that_a_hold_has_left():
    it = room_after(5, 0.1)
    missed = Sample(
        engine="e",
        time=6,
        capacity_tokens=100_000,
        prompt_tokens=9000,
        cached_tokens=0,
        history_tokens=9000,
        missed_tokens=9000,
        held=True,
    )
    assert it.sampled(missed, 1.0, used=0.1) == "cut"
    assert it.fill == pytest.approx(0.81)


def turnover():
    return Turnover(TurnoverParameters(first=40), 1024, SlotAdmission())


def end(law, count):
    for n in range(count):
        law.ended(AgentView(rollout=f"a{n}", order=n, steps=1), Roster(limit=Limit()))


@pytest.mark.parametrize("more", HELD_BACK)
def test_turnover_does_not_grow_while_held_back(more):
    law = turnover()
    for time in range(5, 300, 5):
        end(law, 40)
        limit = law.update(Sample(engine="e", time=time, locked=0.1, active=40, running_requests=40, queued_requests=0, **more))
        assert limit.agents == 40


def test_turnover_ends_its_drain_although_more_run_than_it_decided():
    law = turnover()
    busy = {"engine": "e", "locked": 0.5, "running_requests": 10, "factor": 1.21}
    for time in range(5, 35, 5):
        limit = law.update(Sample(time=time, active=48, queued_requests=9, **busy))
    assert (limit.agents, limit.reason) == (35, "cut")
    assert law.update(Sample(time=35, active=48, queued_requests=0, **busy)).reason == "drain"
    assert law.update(Sample(time=40, active=42, queued_requests=0, **busy)).reason != "drain"  # 35 times 1.21
