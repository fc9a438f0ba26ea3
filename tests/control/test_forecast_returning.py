"""Who goes next under the default policy: of those who are paused, and against a new one."""

from laws import POOL, agent, law, lived, roster, sampled


def test_the_oldest_returns_first():
    assert law().next_returning(roster(paused=[agent(5), agent(2), agent(9)])).order == 2
    assert law().next_returning(roster()) is None


def in_last_life(waiting, *, steps=(9, 2, 5), new_steps=0, active=8, tokens=POOL, share=1.0):
    """Who goes next, of three that are paused after so many of ten steps, and a new one."""
    it = lived(law(), steps=10)
    sampled(it, waiting=waiting, share=share)
    paused = [agent(n, steps=k) for n, k in enumerate(steps)]
    there = roster(tokens, active=[agent(n, context=5000, steps=6) for n in range(10, 10 + active)], paused=paused)
    there.new = None if new_steps is None else agent(99, steps=new_steps)
    back = it.next_returning(there)
    return back and back.order


def test_in_the_last_life_the_longest_rest_goes_first():
    assert in_last_life(waiting=3, new_steps=None) == 1
    assert in_last_life(waiting=3, steps=(4, 4, 4), new_steps=None) == 0
    assert in_last_life(waiting=4) is None  # a new one has more before it than any of them


def test_it_begins_with_a_little_more_than_a_life_of_those_under_way():
    """Eight could make 101 steps in one life each, as it is known. They and the paused have 74 before them, and each new one 12.6."""
    assert in_last_life(waiting=3 + 4) is None
    assert in_last_life(waiting=3 + 5) == 0


def test_of_the_new_ones_only_those_count_that_fall_to_this_engine():
    assert in_last_life(waiting=3 + 16, share=0.25) is None
    assert in_last_life(waiting=3 + 20, share=0.25) == 0


def test_before_it_the_oldest_does():
    assert in_last_life(waiting=40) == 0
    assert in_last_life(waiting=4, active=1) == 0


def test_nobody_is_held_back_for_a_new_one_that_does_not_fit():
    assert in_last_life(waiting=4, tokens=45_000) == 1


def test_a_limit_on_steps_bounds_the_rest():
    it = lived(law(), steps=10)
    sampled(it, waiting=2)
    paused = [agent(0, steps=2, most_steps=3), agent(1, steps=6)]
    assert it.next_returning(roster(active=[agent(n, steps=6) for n in range(10, 14)], paused=paused)).order == 1
