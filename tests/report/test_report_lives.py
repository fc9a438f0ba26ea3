from random import Random

from journals import reply, segment, start, tool
from report_runs import end, life

from concur_batch import records as r
from concur_batch.report.lives import MOST_AGENTS, MOST_SPANS, Lives


def lives(*records):
    made = Lives(Random(0))
    told = {
        r.SegmentStarted: made.segment,
        r.RolloutStarted: made.started,
        r.ReplyReceived: made.reply,
        r.ToolFinished: made.tool,
        r.RolloutPaused: made.paused,
        r.RolloutReturned: made.returned,
        r.RolloutFinished: made.finished,
    }
    for record in records:
        if type(record) in told:
            told[type(record)](record, record.t)
    return made


def test_an_agents_phases_in_order():
    view = lives(*life("a#0")).view(10.0, 100)
    assert view["agents"] == [{"id": "a#0", "status": "completed", "start": 1.0, "end": 5.0}]
    assert view["phases"] == {
        "model": [[0, 1.5, 0.5], [0, 4.0, 1.0]],
        "tool": [[0, 2.0, 1.0, "f"]],
        "paused": [[0, 3.0, 1.0]],
    }


def test_waiting_and_lost_attempts_come_before_the_call():
    view = lives(start("a#0"), reply("a#0", 1, 1, t=9.0, model_s=2.0, retry_s=1.0, wait_s=3.0)).view(9.0, 100)
    assert view["phases"] == {"waiting": [[0, 3.0, 3.0]], "retry": [[0, 6.0, 1.0]], "model": [[0, 7.0, 2.0]]}


def test_a_tool_call_that_waited_has_its_wait_before_it():
    view = lives(start("a#0"), tool("a#0", 1, t=9.0, seconds=2.0, wait_s=3.0)).view(9.0, 100)
    assert view["phases"] == {"waiting": [[0, 4.0, 3.0]], "tool": [[0, 7.0, 2.0, "f"]]}


def test_who_is_live_when_a_process_breaks_off_waits_until_taken_up():
    view = lives(start("a#0"), segment(), start("a#0", t=4.0, resumed=True)).view(5.0, 100)
    assert view["phases"] == {"paused": [[0, 0.0, 4.0]]}
    assert view["agents"][0]["status"] == "not ended"
    still = lives(start("a#0"), r.RolloutPaused(t=2.0, rollout="a#0", engine="e", step=1, reason="limit")).view(5.0, 100)
    assert still["phases"] == {"paused": [[0, 2.0, 3.0]]}


def test_agents_and_spans_are_bounded():
    made = lives(*(record for i in range(500) for record in (start(f"a{i}#0", i), end(f"a{i}#0", 5.0))))
    assert (len(made.view(5.0, 100)["agents"]), made.view(5.0, 100)["of"]) == (MOST_AGENTS, 500)
    long = [start("a#0"), *(tool("a#0", n, t=float(n), seconds=0.5) for n in range(1, 10 * MOST_SPANS))]
    view = lives(*long).view(1.0, 60)
    assert view["coarse"]
    assert len(view["phases"]["tool"]) <= 60
    assert view["phases"]["tool"][-1][1] + view["phases"]["tool"][-1][2] == 10 * MOST_SPANS - 1


def test_agents_that_are_tried_again_count_once():
    firsts = [record for i in range(500) for record in (start(f"a{i}#0", i), end(f"a{i}#0", 5.0, "error"))]
    seconds = [record for i in range(500) for record in (start(f"a{i}#0", i, attempt=2), end(f"a{i}#0", 9.0, attempt=2))]
    view = lives(*firsts, *seconds).view(9.0, 100)
    assert (len(view["agents"]), view["of"]) == (MOST_AGENTS, 500)
    assert {agent["status"] for agent in view["agents"]} == {"completed"}
