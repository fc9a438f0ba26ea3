import pytest

from concur_batch.jobs.hints import EarlierContexts, Hints
from concur_batch.jobs.row import Row
from concur_batch.jobs.to_task import to_task

BASE = {"id": "a", "prompt": "x", "sampling": {"temperature": 1, "top_p": 1}}


def task(hints=None, **changes):
    row = Row.model_validate({**BASE, **changes})
    return to_task(row, {}, {}, hints or Hints(), index=0, where="j:1", absent_id=lambda *_: "made")


def digits(**changes):
    return task(**changes).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "y"},
        {"system": "s"},
        {"tools": []},
        {"tools": ["a"]},
        {"agent": "mine"},
        {"model": "m"},
        {"sampling": {"temperature": 0}},
        {"extra_body": {"top_k": 1}},
        {"seed": 1},
        {"script": ["x"]},
    ],
)
def test_what_the_model_sees_changes_the_fingerprint(changes):
    assert digits(**changes) != digits()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "b"},
        {"n": 3},
        {"limits": {"timeout_s": 3, "max_steps": 1}},
        {"metadata": {"k": 1}},
        {"target": "t"},
        {"expected_tokens": 9000},
        {"sampling": {"top_p": 1.0, "temperature": 1.0}},
        {"prompt": None, "messages": [{"content": "x", "role": "user"}]},
    ],
)
def test_all_else_does_not(changes):
    assert digits(**changes) == digits()


def test_a_row_tells_how_far_its_task_goes_before_an_earlier_run_does():
    earlier = Hints(scale=0.5, earlier=EarlierContexts([("a", 700), ("made", 800)]))
    assert task().expected_tokens is None
    assert task(expected_tokens=9000).expected_tokens == 9000
    assert task(earlier, expected_tokens=9001).expected_tokens == 4500
    assert task(earlier).expected_tokens == 700
    assert task(earlier, id=None).expected_tokens == 800
    assert task(earlier, id="b").expected_tokens is None
