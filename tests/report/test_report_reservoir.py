from random import Random

from concur_batch.report.reservoir import Reservoir


def test_keeps_all_while_there_is_room():
    kept = Reservoir(3, Random(0))
    assert [kept.add(item) for item in "abc"] == [None, None, None]
    assert kept.items == list("abc")


def test_gives_back_what_is_not_in_the_sample_for_each_item_beyond():
    kept = Reservoir(3, Random(0))
    out = [kept.add(item) for item in range(100)]
    assert sorted([item for item in out if item is not None] + kept.items) == list(range(100))
    assert (kept.seen, len(kept.items)) == (100, 3)


def test_every_item_has_the_same_chance():
    drawn = [0] * 20
    random = Random(1)
    for _ in range(4_000):
        kept = Reservoir(5, random)
        for item in range(20):
            kept.add(item)
        for item in kept.items:
            drawn[item] += 1
    assert all(850 < times < 1_150 for times in drawn)  # 1,000 each; more than five deviations
