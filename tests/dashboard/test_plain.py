from concur_batch import records as r
from concur_batch.dashboard.plain import line
from concur_batch.state import fold

BEGUN = [
    r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"),
    r.BatchLoaded(t=0, tasks=9, rollouts=9, max_agents=64),
    r.EngineSeen(t=0, engine="e", engine_kind="sglang", policy="aimd"),
    r.Sampled(t=1, engine="e", locked=0.25),
    r.Decided(t=1, engine="e", agents=10, reason="hold"),
]


def test_what_a_person_asked_for_by_key_is_told():
    assert "by hand" not in line(fold(BEGUN), 2.0)
    steered = [*BEGUN, r.Steered(t=2, held=True, factor=0.8)]
    assert "limit 7 agents (start, 1 s ago), locked 25%; admission held by hand; limit x0.8 by hand; " in line(fold(steered), 2.0)
    assert "by hand" not in line(fold([*steered, r.SegmentFinished(t=3, cause="drained")]), 3.0)


def test_a_reading_that_did_not_come_is_told():
    assert "no fresh reading" not in line(fold(BEGUN), 2.0)
    stale = [*BEGUN, r.Sampled(t=2, engine="e", stale=True)]
    assert "limit 10 agents (start, 1 s ago), no fresh reading; " in line(fold(stale), 2.0)
