import pytest

from concur_batch import records as r
from concur_batch.dashboard.head import alerts, progress
from concur_batch.dashboard.scene import Scene
from concur_batch.state import fold


def slow(rollouts):
    """Ten rollouts have ended, after a step of ten seconds each."""
    yield r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")
    yield r.BatchLoaded(t=0, tasks=rollouts, rollouts=rollouts)
    for k in range(10):
        name, at = f"t{k}#0", 10.0 * (k + 1)
        yield r.RolloutStarted(t=at - 10, rollout=name, engine="e", task=f"t{k}", k=0, index=k, seed=0)
        told = {
            "hash": "",
            "base": 0,
            "new": [],
            "message": {},
            "finish_reason": "stop",
            "prompt_tokens": 9,
            "completion_tokens": 1,
        }
        yield r.ReplyReceived(t=at, engine="e", rollout=name, step=1, n=1, model_s=10.0, **told)
        yield r.RolloutFinished(t=at, rollout=name, engine="e", status="completed")
        yield r.Sampled(t=at, engine="e", steps=1)


@pytest.mark.parametrize(
    ("rollouts", "width", "said"),
    [
        (1_000, 40, "  10 of 1,000   1%  2:45:00 left"),
        (10_000, 40, "  10 of 10,000   0%  27:45:00 left"),
        (10_000, 33, "  10 of 10,000   0%"),
        (1_000_000, 40, "  10 of 1,000,000   0%  115 d 17 h left"),
        (1_000_000, 38, "  10 of 1,000,000   0%"),
        (1_000_000, 20, "  10 of 1,000,000   "),
    ],
)
def test_an_estimated_end_is_told_in_whole_or_not_at_all(rollouts, width, said):
    line = progress(Scene(state=fold(list(slow(rollouts))), now=100.0), width)
    line.truncate(width)
    assert line.plain.lstrip("━─") == said


@pytest.mark.parametrize(("active", "said"), [(1, "1 agent ends its step"), (2, "2 agents end their step")])
def test_who_is_waited_for_in_a_drain(active, said):
    begun = [r.RolloutStarted(t=0, rollout=f"t{k}#0", engine="e", task=f"t{k}", k=0, index=k, seed=0) for k in range(active)]
    stream = [*slow(100), *begun, r.DrainStarted(t=100, cause="SIGINT")]
    (line,) = alerts(Scene(state=fold(stream), now=100.0), 80)
    assert line.plain == f"drain    DRAINING (SIGINT): {said}"
