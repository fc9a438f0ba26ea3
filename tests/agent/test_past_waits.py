"""What a rollout had waited when its process ended: its row and the run's totals have it alike."""

import pytest

from concur_batch import records as r
from concur_batch.agent.replay import History
from concur_batch.state import fold

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")
STARTED = r.RolloutStarted(t=1.0, rollout="a", engine="e", task="a", k=0, index=0, seed=0)
STARTED_AGAIN = r.RolloutStarted(t=1.0, rollout="a", engine="e", task="a", k=0, index=0, seed=0, resumed=True)
RETRIED = r.CallRetried(
    t=5.0, rollout="a", engine="e", step=1, n=1, error="EngineBusy", message="", retries=1, retry_s=3.0, pause_s=1
)
LOST = r.EngineLost(t=8.0, engine="e", message="refused")
PAUSED = r.RolloutPaused(t=6.0, rollout="a", engine="e", step=1, reason="limit")
TOOL = r.ToolStarted(t=6.0, rollout="a", step=1, n=2, tool="t", hash="")
LATE = r.ToolFinished(t=9.0, rollout="a", step=1, n=2, tool="t", output="")


@pytest.mark.parametrize(
    ("story", "waited"),
    [
        ([], (0, 0, 0)),
        ([RETRIED], (0, 0, 18.0)),
        ([RETRIED, LOST], (0, 12.0, 6.0)),
        ([LOST], (0, 12.0, 0)),
        ([PAUSED], (14.0, 0, 0)),
        ([TOOL, PAUSED, LATE], (14.0, 0, 0)),  # it does several things at once
        ([RETRIED, TOOL, LOST], (0, 0, 3.0)),  # it gave that call up
        ([TOOL, OPENED, STARTED_AGAIN, LOST], (0, 12.0, 0)),  # the tool runs no more
    ],
)
def test_rows_and_totals_agree(story, waited):
    stream = [OPENED, STARTED, *story, r.SegmentFinished(t=20.0, cause="drained")]
    history, totals = History(), fold(stream).totals
    for record in stream:
        history.apply(record)
    history.close()
    past = history.unfinished["a"]
    assert (past.paused_s, past.wait_s, past.retry_s) == waited
    assert (totals.paused_s, totals.wait_s, totals.retry_s) == waited


def test_a_segment_that_does_not_take_it_up_adds_nothing():
    stream = [OPENED, STARTED, r.SegmentFinished(t=5.0, cause="drained"), OPENED, r.SegmentFinished(t=600.0, cause="drained")]
    history = History()
    for record in stream:
        history.apply(record)
    history.close()
    assert fold(stream).totals.paused_s == history.unfinished["a"].paused_s == 0


def test_from_when_its_engine_is_away_no_time_is_used_whatever_else_it_does():
    other = r.ToolStarted(t=6.0, rollout="a", step=1, n=3, tool="t", hash="")
    history = History()
    for record in [OPENED, STARTED, TOOL, other, LOST, LATE]:
        history.apply(record)
    history.close()
    past = history.unfinished["a"]
    assert (past.wall_s, past.used_s) == (8.0, 7.0)
