from hypothesis import given
from hypothesis import strategies as st

from concur_batch.jobs.hints import EarlierContexts, Hints


def test_the_mean_of_a_tasks_rollouts_counts():
    earlier = EarlierContexts(iter([("a", 100), ("a", 201), ("b", 7), ("c", 0)]))
    assert [earlier.get(task) for task in ("a", "b", "c", "d")] == [150, 7, 1, None]
    assert len(earlier) == 3


def test_without_an_earlier_run_nothing_is_known():
    assert EarlierContexts([]).get("a") is None
    assert Hints().of("a", None) is None


@given(st.dictionaries(st.text(max_size=9), st.integers(1, 10**9 - 1)))
def test_every_task_is_found_again(contexts):
    earlier = EarlierContexts(contexts.items())
    assert {task: earlier.get(task) for task in contexts} == contexts


def test_scaled_hints_stay_numbers_of_tokens():
    assert Hints(scale=0.001).of("a", 3) == 1
    assert Hints(scale=1000.0).of("a", 10**8) == 10**9 - 1
