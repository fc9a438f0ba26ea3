"""How long agents are, from the first few of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.lengths import Lengths, usual_hazard


def told(ended=(), running=(), usual=usual_hazard):
    found = Lengths(usual)
    for steps in (*ended, *running):
        for step in range(1, steps):
            found.seen(step, 0)
    for steps in ended:
        found.seen(steps, 1)
    return found.hazard()


def mean_steps(hazard):
    share, mean = 1.0, 0.0
    for step in range(1, 500):
        mean += share
        share *= 1.0 - hazard(step)
    return mean


lives = st.lists(st.integers(1, 60), max_size=40)


def test_at_first_agents_are_of_the_usual_length_though_they_may_be_shorter():
    hazard = told()
    assert [hazard(k) for k in (0, 10, 30, 99)] == pytest.approx([0, 0.1, 0.1, 0.1], abs=0.02)
    assert all(0 < hazard(k) < 0.03 for k in range(1, 10))


@pytest.mark.parametrize(("ended", "least", "most"), [([1] * 4, 1.5, 3), ([2] * 4, 2, 4), ([5] * 8, 5, 12), ([20] * 4, 17, 20)])
def test_a_few_ends_tell_it(ended, least, most):
    assert least <= mean_steps(told(ended)) <= most


def test_one_in_twenty_that_ends_early_is_nothing_unusual():
    assert mean_steps(told([1, 2, 3], [12] * 60)) > 17


@given(lives, lives)
def test_hazards_are_shares(ended, running):
    hazard = told(ended, running)
    assert all(0 <= hazard(k) <= 1 for k in range(-1, 80))


@given(lives, lives, st.integers(1, 60))
def test_who_goes_on_never_makes_lives_look_shorter(ended, running, steps):
    before, after = told(ended, running), told(ended, [*running, steps])
    assert all(after(k) <= before(k) + 2e-3 for k in range(80))


@given(lives)
def test_when_it_is_certain_the_usual_hazard_stands_as_it_is(running):
    assert told([], [*running, *[12] * 40], usual=lambda _: 0.07)(33) == 0.07
