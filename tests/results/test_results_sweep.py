import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.results.sweep import CLOSE, Sweep


def swept(agents, seconds_of):
    """The best window and all that were run; `seconds_of` a number of agents."""
    sweep, ran = Sweep(agents), []
    while wanted := sweep.wanted():
        for window in wanted:
            ran.append(window)
            sweep.took(window, seconds_of(agents if window is None else window))
    return sweep.best, ran


def valley(optimum, left, right):
    """Falls to `optimum`, rises from there on."""
    return lambda n: left * (optimum - n) if n < optimum else right * (n - optimum)


SLOPES = st.floats(0.001, 1000)


@given(st.integers(1, 5000), st.data(), SLOPES, SLOPES)
def test_the_best_of_a_valley_is_found_within_the_ratio(agents, data, left, right):
    optimum = data.draw(st.integers(1, agents))
    best, ran = swept(agents, valley(optimum, left, right))
    size = agents if best is None else best
    assert max(size, optimum) <= CLOSE * min(size, optimum)
    assert len(ran) == len(set(ran)) <= 22


@given(st.integers(1, 600), st.data())
def test_of_all_that_was_run_the_best_is_told_whatever_the_shape(agents, data):
    seconds = {}

    def draw(size):
        return seconds.setdefault(size, data.draw(st.integers(0, 5)))

    best, ran = swept(agents, draw)
    assert seconds[agents if best is None else best] == min(seconds.values())
    assert {4 << i for i in range(10) if 4 << i < agents} | {None} <= set(ran)


def test_coarse_windows_come_first_and_no_limit_is_one_of_them():
    sweep = Sweep(256)
    assert sweep.wanted() == [4, 8, 16, 32, 64, 128, None]
    for window in sweep.wanted():
        sweep.took(window, abs((window or 256) - 45))
    assert sweep.wanted() == [23, 45]
    assert sweep.best == 32


def test_no_limit_may_be_the_best_and_a_window_of_all_is_the_same():
    assert swept(100, lambda n: 1000 - n)[0] is None
    assert swept(1, lambda n: 5.0) == (None, [None])
    assert swept(3, lambda n: n)[0] == 1


def test_below_the_smallest_it_goes_on():
    assert swept(64, lambda n: n)[0] == 1
    assert swept(64, valley(3, 1, 1))[0] == 3


def test_equal_ones_are_told_by_the_smallest():
    assert swept(64, lambda n: 7.0)[0] == 1
    assert swept(64, lambda n: max(10, 20 - n))[0] == 10


def test_what_did_not_end_is_never_the_best():
    sweep = Sweep(8)
    sweep.took(4, None)
    sweep.took(None, 50.0)
    assert sweep.best is None
    assert sweep.wanted() == [6]


def test_a_run_that_has_lost_fewer_agents_is_better_however_long_it_took():
    sweep = Sweep(16)
    for window, seconds, lost in ((4, 90.0, 1), (8, 120.0, 1), (None, 30.0, 12)):
        sweep.took(window, seconds, lost=lost)
    assert sweep.best == 4
    sweep.took(2, 150.0, lost=0)
    assert sweep.best == 2


def test_before_the_first_there_is_no_best():
    with pytest.raises(ValueError, match="empty"):
        Sweep(8).best  # noqa: B018
