"""What time it is in somebody else's run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch import records as r
from concur_batch.cli.look.run_clock import LATE_S, RunClock
from concur_batch.state import RunState

EPOCH = 1e9


def state_at(t, epoch=EPOCH):
    state = RunState()
    state.apply(r.SegmentStarted(t=0.0, epoch=epoch, host="h", pid=1, version="0"))
    state.apply(r.Sampled(t=t, engine="e"))
    return state


def test_before_a_run_it_stands_at_nothing():
    assert RunClock("elsewhere").now(RunState(), EPOCH) == 0.0


def test_our_clock_tells_what_has_passed_since_the_newest_record():
    clock, state = RunClock("elsewhere"), state_at(10.0)
    clock.saw(state, EPOCH + 10.4, 0.0)
    assert clock.now(state, EPOCH + 10.4) == pytest.approx(10.4)
    assert clock.now(state, EPOCH + 75.0) == pytest.approx(75.0)


@pytest.mark.parametrize("skew", [3600.0, -3600.0, 6.0, -0.5])
def test_another_nodes_clock_is_off(skew):
    clock, state = RunClock("elsewhere"), state_at(10.0)
    clock.saw(state, EPOCH + 10.0 + skew, 0.0)
    assert clock.now(state, EPOCH + 10.0 + skew) == pytest.approx(10.0)
    assert clock.now(state, EPOCH + 12.5 + skew) == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("recorded", "written", "age"),
    [
        (50.0, 50.0, 50.0),  # the run stands still
        (8000.0, 0.5, 0.5),  # it goes on after its host was suspended, or its clock was set
        (0.5, 8000.0, 0.5),  # on a file system whose time is another
        (-8000.0, 0.5, 0.0),
    ],
)
def test_on_the_runs_own_host_a_record_may_be_old_when_it_is_first_seen(recorded, written, age):
    clock, state = RunClock("h"), state_at(10.0)
    wall = EPOCH + 10.0 + recorded
    clock.saw(state, wall, wall - written)
    assert clock.now(state, wall) == pytest.approx(10.0 + age)
    assert clock.now(state, wall + 7.0) == pytest.approx(17.0 + age)


def test_it_stands_when_the_run_has_ended_and_goes_on_with_the_next_segment():
    clock, state = RunClock("elsewhere"), state_at(10.0)
    state.apply(r.SegmentFinished(t=11.0, cause="finished"))
    clock.saw(state, EPOCH + 11.0, 0.0)
    assert clock.now(state, EPOCH + 9999.0) == 11.0
    state.apply(r.SegmentStarted(t=0.0, epoch=EPOCH + 5000.0, host="h", pid=1, version="0"))
    clock.saw(state, EPOCH + 5000.1, 0.0)
    assert clock.now(state, EPOCH + 5003.0) == pytest.approx(3.0)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 10)), min_size=1, max_size=30),
    st.floats(-1e6, 1e6),
)
def test_it_never_stands_before_the_newest_record_nor_far_behind_it_when_one_was_just_seen(steps, skew):
    clock, state, t = RunClock("elsewhere"), state_at(0.0), 0.0
    for passed, late in steps:
        t += passed
        state.apply(r.Sampled(t=t, engine="e"))
        wall = EPOCH + t + late + skew
        clock.saw(state, wall, 0.0)
        assert t <= clock.now(state, wall) <= t + LATE_S + 1e-3
