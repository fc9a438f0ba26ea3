import pytest

from concur_batch import records as r
from concur_batch.dashboard.scene import Scene
from concur_batch.dashboard.spent import section, shares
from concur_batch.state import fold

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")
CALL = {"step": 1, "n": 1, "hash": "", "base": 0, "new": [], "message": {}, "finish_reason": "", "prompt_tokens": 1}


def reply(**seconds):
    return r.ReplyReceived(t=9, rollout="a", engine="e", completion_tokens=1, **CALL, **seconds)


def lines(state, width, height):
    return [line.plain for line in section(Scene(state=state, now=9.0), 1, width).draw(width, height)]


STORY = [
    OPENED,
    r.RolloutStarted(t=5, rollout="a", engine="e", task="a", k=0, index=0, seed=0),
    r.Sampled(t=6, engine="e", running_requests=3, queued_requests=1),
    r.Sampled(t=8, engine="e", running_requests=3, queued_requests=1),
    reply(model_s=8.0, wait_s=1.0, retry_s=2.0),
    r.ToolFinished(t=9, rollout="a", step=1, n=2, tool="t", output="", seconds=6.0),
    r.RolloutReturned(t=9, rollout="a", engine="e", step=1, paused_s=3.0),
]


def test_the_queue_is_its_share_of_the_requests_that_were_seen():
    found, known = shares(fold(STORY), 9.0)
    assert known
    assert found == {"model": 0.3, "queue": 0.1, "tool": 0.3, "paused": 0.2, "retry": 0.1}


def test_without_statistics_all_is_the_models():
    found, known = shares(fold([OPENED, reply(model_s=8.0)]), 9.0)
    assert (found["model"], found["queue"], known) == (1.0, 0.0, False)
    assert "queue   -" in lines(fold([OPENED, reply(model_s=8.0)]), 80, 2)[1]


def test_admission_stands_beside_the_bar():
    bar, legend = lines(fold(STORY), 80, 2)
    assert bar.endswith("  admission   5.0 s  20%")
    assert " ".join(legend.split()) == "█ model 30% ▓ queue ≈10% ▒ tool 30% ░ paused 20% █ retry 10%"
    assert len(lines(fold(STORY), 58, 3)) == 3


@pytest.mark.parametrize(("width", "bars"), [(100, 1), (60, 0)])
def test_on_one_line_the_bar_goes_first(width, bars):
    (line,) = lines(fold(STORY), width, 1)
    assert ("▓▓" in line) == bool(bars)
    assert "model 30%" in line


def test_what_agents_are_at_now_counts():
    agents = [r.RolloutStarted(t=2, rollout=k, engine="e", task="a", k=0, index=0, seed=0) for k in "abcd"]
    tool = r.ToolStarted(t=62, rollout="b", step=1, n=2, tool="t", hash="")
    paused = r.RolloutPaused(t=72, rollout="c", engine="e", step=1, reason="limit")
    found, _ = shares(fold([OPENED, *agents[:1]]), 82.0)
    assert found["model"] == 1.0
    found, _ = shares(fold([OPENED, *agents[:3], tool, paused]), 82.0)
    assert {name: part * 110 for name, part in found.items() if part} == pytest.approx({"model": 80, "tool": 20, "paused": 10})
    lost = r.EngineLost(t=42, engine="e", message="gone")
    found, _ = shares(fold([OPENED, *agents[:1], lost]), 82.0)
    assert (found["model"], found["paused"]) == (0.5, 0.5)
    assert shares(fold([OPENED, *agents, r.SegmentFinished(t=82, cause="stopped")]), 82.0)[0] == {}


def test_who_tries_again_is_told_as_that():
    start = r.RolloutStarted(t=2, rollout="a", engine="e", task="a", k=0, index=0, seed=0)
    where = {"rollout": "a", "engine": "e", "step": 1, "n": 1}
    again = r.CallRetried(t=4, **where, error="EngineBusy", message="503", retries=1, retry_s=2.0, pause_s=9.0)
    found, _ = shares(fold([OPENED, start, again]), 8.0)
    assert found["retry"] == 1.0
    state = fold([OPENED, start, again, reply(model_s=4.0, retries=1, retry_s=4.0)])
    assert shares(state, 9.0)[0]["retry"] == 0.5
