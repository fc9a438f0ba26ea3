import json

import pytest
from journals import reply, segment, start
from report_runs import Recorded, decided, end, hostile, opening, ordinary, sampled

from concur_batch import records as r
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


def test_all_engines_together_allow_no_more_agents_than_the_run_may_have():
    loaded = r.BatchLoaded(t=0.0, tasks=40, rollouts=40, max_agents=10)
    limits = [decided(0.0, 8, "a"), decided(0.0, 8, "b")]
    together, *each = report(segment(), loaded, *limits, sampled(1.0, "a"), sampled(1.0, "b")).view(columns=50, most_spans=10)[
        "timelines"
    ]
    assert together["series"]["limit_agents"] == [10]
    assert [one["series"]["limit_agents"] for one in each] == [[8], [8]]


def test_the_same_journal_gives_the_same_view():
    assert report(*ordinary(200)).view(columns=50, most_spans=1_000) == report(*ordinary(200)).view(columns=50, most_spans=1_000)


@pytest.mark.parametrize("records", [[], [segment()], opening(3), [*opening(3), start("a#0")], ordinary(3)[:-4], hostile()])
def test_any_beginning_of_a_run_can_be_shown_as_json(records):
    view = report(*records).view(columns=50, most_spans=100)
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_curves_marks_and_events_belong_to_their_engines():
    view = report(*ordinary(4), segment()).view(columns=50, most_spans=100)
    (engine,) = view["timelines"]
    assert engine["name"] == "e"
    assert [mark["reason"] for mark in engine["marks"]] == ["first", "cut", "hold", "grow"]
    assert [event["what"] for event in view["events"]["kept"]] == ["ended", "resumed"]
    assert view["versions"] == ["concur 0"]


def test_what_is_under_way_is_seen_and_counted():
    """A model call, a tool call and a pause by the newest record; and a call that was cut off, then taken up again."""
    records = [
        *opening(3),
        start("a#0", t=1.0),
        start("b#0", 1, t=1.0),
        reply("b#0", 1, 1, t=3.0, model_s=2.0, calls=["c1"]),
        r.ToolStarted(t=3.0, rollout="b#0", step=1, n=2, tool="shell", hash="h"),
        start("c#0", 2, t=1.0),
        r.RolloutPaused(t=8.0, rollout="c#0", engine="e", step=0, reason="limit"),
        sampled(11.0),
    ]
    view = report(*records).view(columns=50, most_spans=100)
    assert view["lives"]["phases"] == {
        "model": [[0, 1.0, 10.0, "(under way)"], [1, 1.0, 2.0]],
        "tool": [[1, 3.0, 8.0, "shell (under way)"]],
        "paused": [[2, 8.0, 3.0]],
    }
    assert [view["agent_time"][part] for part in ("model_s", "tool_s", "paused_s")] == [12.0, 8.0, 3.0]
    assert view["under_way_s"] == 21.0
    again = report(*records, segment(), start("a#0", t=2.0, resumed=True), sampled(5.0)).view(columns=50, most_spans=100)
    assert [span for span in again["lives"]["phases"]["model"] if span[0] == 0] == [
        [0, 1.0, 10.0, "(cut off)"],
        [0, 13.0, 3.0, "(under way)"],
    ]
    assert again["lives"]["phases"]["tool"] == [[1, 3.0, 8.0, "shell (cut off)"]]


def test_what_the_end_of_an_agent_cuts_off_is_drawn():
    """A model call, one that was given up before, and a tool call; a call whose end was recorded is drawn already."""
    records = [
        *opening(4),
        *(start(f"{name}#0", place, t=1.0) for place, name in enumerate("abcd")),
        r.ToolStarted(t=3.0, rollout="b#0", step=0, n=1, tool="shell", hash="h"),
        reply("d#0", 1, 1, t=9.0, model_s=8.0),
        end("a#0", 9.0, "timeout", cut_off=r.CutOff(model_s=8.0)),
        end("b#0", 9.0, "timeout", cut_off=r.CutOff(tool_s=6.0)),
        end("c#0", 9.0, cut_off=r.CutOff(model_s=1.0, wait_s=1.0)),
        end("d#0", 9.5),
    ]
    assert report(*records).view(columns=50, most_spans=100)["lives"]["phases"] == {
        "model": [[0, 1.0, 8.0, "(cut off)"], [2, 7.0, 2.0, "(cut off)"], [3, 1.0, 8.0]],
        "tool": [[1, 3.0, 6.0, "shell (cut off)"]],
    }


def test_time_without_an_engine_is_waiting():
    records = [*opening(1), start("a#0", t=1.0), r.EngineLost(t=4.0, engine="e", message="gone"), r.RunnerMeasured(
        t=9.0, seconds=5.0, cpu_s=0.1, resident_bytes=1)]  # fmt: skip
    assert report(*records).agent_time() == {
        "admission_s": 1.0, "paused_s": 0.0, "wait_s": 5.0, "model_s": 3.0, "tool_s": 0.0, "retry_s": 0.0,
    }  # fmt: skip


def test_a_wait_that_the_end_of_a_process_cuts_off_counts_once():
    records = [*opening(1), start("a#0", t=1.0), r.RolloutPaused(t=4.0, rollout="a#0", engine="e", step=1, reason="drain")]
    ended = [r.SegmentFinished(t=9.0, cause="drained")]
    for more in ([sampled(9.0)], ended, [*ended, segment()], [sampled(9.0), segment()]):
        assert report(*records, *more).agent_time()["paused_s"] == 5.0


def test_a_trajectory_is_read_from_the_journal():
    made = report(*ordinary(3))
    (failure,) = made.choice.failures
    assert [item["role"] for item in made.story(failure)["items"]] == ["user", "assistant", "tool", "assistant"]


def test_the_wait_for_the_first_slot_is_a_mean_over_starts():
    """Whoever was taken up again has waited before; another attempt waits once more."""
    records = [*opening(2), start("a#0", t=3.0), start("b#0", 1, t=5.0), end("b#0", 6.0, "error")]
    records += [segment(), start("a#0", t=9.0, resumed=True), start("b#0", 1, t=1.0, attempt=2)]
    numbers = report(*records).numbers()
    assert (numbers["admission_mean_s"], numbers["agent_time"]["admission_s"]) == (3.0, 9.0)
