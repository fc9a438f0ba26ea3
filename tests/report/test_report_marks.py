import itertools

from journals import segment
from report_runs import decided

from concur_batch.report.marks import MOST, Marks


def marks(*decisions):
    made = Marks()
    for one in decisions:
        made.decided(one, one.t)
    return made.view("e")


def test_only_moves_of_a_limit_are_marked_with_direction_and_reason():
    view = marks(decided(0, 8, reason="first"), decided(1, 8), decided(2, 4, reason="cut"), decided(3, None, reason="off"))
    assert [(one["t"], one["agents"], one["reason"], one["up"]) for one in view] == [
        (0, 8, "first", True),
        (2, 4, "cut", False),
        (3, None, "off", True),
    ]


def test_a_limit_on_tokens_may_drift_and_its_drift_adds_up():
    view = marks(decided(0, tokens=1000), decided(1, tokens=1010), decided(2, tokens=1019), decided(3, tokens=1025))
    assert [one["tokens"] for one in view] == [1000, 1025]


def test_of_many_moves_the_greatest_are_kept_and_the_others_counted():
    view = marks(*(decided(t, 5 if t == 777 else 100 + t % 2) for t in range(2_000)))
    assert len(view) <= MOST
    assert sum(one["moves"] for one in view) == 2_000
    assert 5 in [one["agents"] for one in view]
    assert max(later["t"] - one["t"] for one, later in itertools.pairwise(view)) < 2_000 / MOST * 4  # evenly over time


def test_a_new_segment_is_compared_with_nothing():
    made = Marks()
    made.decided(decided(0, 8), 0.0)
    made.segment(segment(), 5.0)
    made.decided(decided(0, 8, reason="first"), 5.0)
    assert [one["t"] for one in made.view("e")] == [0.0, 5.0]


def test_fewer_can_be_asked_for_and_are_the_greatest_in_order_of_time():
    made = Marks()
    for t, agents in enumerate((100, 101, 50, 51, 100, 101)):
        made.decided(decided(t, agents), float(t))
    assert [one["t"] for one in made.view("e", 3)] == [0.0, 2.0, 4.0]
