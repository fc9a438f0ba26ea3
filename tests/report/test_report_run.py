import json

import pytest
from journals import segment, start
from report_runs import Recorded, hostile, opening, ordinary

from concur_batch.report.run import RunReport


def report(*records):
    made = RunReport(Recorded(records))
    made.read()
    return made


def test_the_numbers_of_a_run():
    numbers = report(*ordinary(6)).numbers()
    assert (numbers["rollouts"]["ended"], numbers["statuses"], numbers["failures"]) == (
        6,
        {"completed": 4, "error": 2},
        {"tool": 2},
    )
    assert (numbers["steps"], numbers["tool_calls"], numbers["figures"]["pauses"]) == (12, 6, 6)
    assert numbers["figures"]["limit"]["agents"] == {"first": 4, "low": 4, "high": 6, "last": 6}
    assert numbers["agent_time"] == {
        "admission_s": 21.0,  # 1 + 2 + ... + 6
        "paused_s": 6.0,
        "wait_s": 0.0,
        "model_s": 9.0,
        "tool_s": 6.0,
        "retry_s": 0.0,
    }
    assert numbers["errors"]["classes"][0]["examples"][0]["rollout"] == "task-2#0"


def test_the_same_journal_gives_the_same_view():
    assert report(*ordinary(200)).view(columns=50, spans=1_000) == report(*ordinary(200)).view(columns=50, spans=1_000)


@pytest.mark.parametrize("records", [[], [segment()], opening(3), [*opening(3), start("a#0")], ordinary(3)[:-4], hostile()])
def test_any_beginning_of_a_run_can_be_shown_as_json(records):
    view = report(*records).view(columns=50, spans=100)
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_curves_marks_and_events_belong_to_their_engines():
    view = report(*ordinary(4), segment()).view(columns=50, spans=100)
    (engine,) = view["timelines"]
    assert engine["name"] == "e"
    assert [mark["reason"] for mark in engine["marks"]] == ["first", "cut", "hold", "grow"]
    assert [event["what"] for event in view["events"]["kept"]] == ["ended", "resumed"]
    assert view["versions"] == ["concur 0"]


def test_a_trajectory_is_read_from_the_journal():
    made = report(*ordinary(3))
    (failure,) = made.choice.failures
    assert [item["role"] for item in made.story(failure)["items"]] == ["user", "assistant", "tool", "assistant"]
