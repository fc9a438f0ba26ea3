import pytest
from journals import segment, start
from report_runs import decided, end, sampled

from concur_batch import records as r
from concur_batch.report.timelines import ALL, Timelines
from concur_batch.results.elapsed import Elapsed


def timelines(*records):
    made, elapsed = Timelines(), Elapsed()
    told = {
        r.SegmentStarted: made.segment,
        r.SegmentFinished: made.finished,
        r.BatchLoaded: made.loaded,
        r.Sampled: made.sampled,
        r.Decided: made.decided,
        r.RolloutPaused: made.paused,
        r.RolloutReturned: made.back,
        r.RolloutStarted: made.back,
        r.RolloutFinished: made.back,
    }
    for record in records:
        told[type(record)](record, elapsed.at(record))
    return made


def paused(t, rollout, engine="e"):
    return r.RolloutPaused(t=t, rollout=rollout, engine=engine, step=1, reason="limit")


def test_what_an_engine_tells_and_what_is_decided_over_time():
    made = timelines(segment(), decided(0.0, 8), sampled(1.0), decided(1.0, 4), sampled(2.0, locked=None, prefill_tokens=300))
    series = made.series("e", 100)
    assert series["t"] == [1, 2]
    assert (series["locked"], series["evictable"]) == ([0.5, None], [0.25, None])
    assert (series["limit_agents"], series["hit_rate"], series["miss_rate"]) == ([8, 4], [0.8, 0.8], [0.1, 0.1])
    assert series["prefill_per_s"] == [20, 300]  # from replies, where the engine does not count
    assert series["decode_per_s"] == [40, 40]
    assert "limit_tokens" not in series


def test_paused_agents_are_told_from_those_not_started():
    back = r.RolloutReturned(t=1.5, rollout="a#0", engine="e", step=1, paused_s=1.0)
    series = timelines(
        segment(), paused(0.5, "a#0"), paused(0.6, "b#0"), sampled(1.0, waiting=5), back, start("b#0"), sampled(2.0, waiting=3)
    ).series("e", 10)
    assert (series["paused"], series["unstarted"]) == ([2, 0], [3, 3])


def test_several_engines_together_are_sums_of_counts_and_means_of_shares():
    made = timelines(
        segment(), decided(0.0, 8, "a"), decided(0.0, 4, "b"),
        sampled(1.0, "a", locked=0.2, waiting=3), sampled(1.0, "b", locked=0.6, waiting=3),
        decided(1.0, None, "a"), sampled(2.0, "a", locked=0.2), sampled(2.0, "b", locked=0.2),
    )  # fmt: skip
    assert made.engines == [ALL, "a", "b"]
    series = made.series(ALL, 10)
    assert (series["locked"], series["active"], series["decode_per_s"]) == ([0.4, 0.2], [4, 4], [80, 80])
    assert (series["limit_agents"], series["unstarted"]) == ([12, None], [3, 1])  # no sum where one has no limit


def test_what_several_engines_allow_is_known_up_to_the_last_sample_of_each_segment():
    """Engines are sampled one after the other, and the last interval is whole of none but one."""
    one = [
        decided(0.0, 8, "a"),
        decided(0.0, 4, "b"),
        sampled(1.0, "a"),
        sampled(1.25, "b"),
        sampled(2.0, "a"),
        sampled(2.25, "b"),
    ]
    made = timelines(segment(), *one, r.SegmentFinished(t=2.5, cause="drained"), segment(), *one)
    for columns in (2, 10, 100):
        series = made.series(ALL, columns)
        assert (set(series["limit_agents"]), set(series["active"])) == ({12}, {4})
    assert made.series(ALL, 10)["t"][-1] == 4.75


def test_the_limits_of_several_engines_allow_no_more_agents_than_the_run_may_have():
    def loaded(most):
        return r.BatchLoaded(t=0.0, tasks=40, rollouts=40, max_agents=most)

    def sampled_both(t):
        return sampled(t, "a"), sampled(t, "b")

    made = timelines(
        segment(), loaded(10), decided(0.0, 8, "a"), decided(0.0, 8, "b"), *sampled_both(1.0),
        decided(1.0, 1, "a"), *sampled_both(2.0),
        segment(), loaded(14), decided(0.0, 8, "a"), decided(0.0, 8, "b"), *sampled_both(1.0),
        segment(), loaded(0), decided(0.0, 8, "a"), decided(0.0, 8, "b"), *sampled_both(1.0),
    )  # fmt: skip
    assert made.series(ALL, 10)["limit_agents"] == [10, 9, 14, 16]  # 0 of an older journal: not told
    assert made.series("a", 10)["limit_agents"] == [8, 1, 8, 8]
    assert not [name for name in made.series(ALL, 10) if "most" in name]


def test_segments_follow_each_other_and_whoever_had_begun_waits_to_be_taken_up():
    def resumed(t, rollout):
        return start(rollout, t=t, resumed=True)

    series = timelines(
        segment(), start("a#0", t=0.1), start("b#0", t=0.1), start("c#0", t=0.1), paused(0.5, "a#0"), end("c#0", 0.6),
        sampled(2.0, waiting=8), segment(), sampled(1.0, locked=0.1, waiting=9), resumed(1.5, "a#0"),
        sampled(2.0, locked=0.1, waiting=8), resumed(2.5, "b#0"), sampled(4.0, locked=0.1, waiting=7),
    ).series("e", 10)  # fmt: skip
    assert series["t"] == [1, 2, 3, 4, 5, 6]
    assert series["locked"] == [0.5, 0.5, 0.1, 0.1, 0.1, 0.1]
    assert (series["paused"], series["unstarted"]) == ([1, 1, 2, 1, 0, 0], [7] * 6)


def test_points_are_bounded_and_keep_the_means():
    made = timelines(segment(), *(sampled(float(t), active=t % 2) for t in range(1, 5_001)))
    series = made.series("e", 100)
    assert len(series["t"]) == 100
    assert series["active"] == [pytest.approx(0.5, abs=0.03)] * 100
    assert len(timelines(segment(), sampled(3.0)).series("e", 8, exactly=True)["t"]) == 8


def test_a_last_sample_of_nobody_does_not_speak_for_the_time_before_it():
    end = r.SegmentFinished(t=1.5, cause="finished")
    first, last = sampled(1.0, committed_tokens=500), sampled(1.5, active=0, waiting=0, committed_tokens=0)
    made = timelines(segment(), decided(0.0, 8), first, decided(1.0, 4), last, end)
    series = made.series("e", 3, exactly=True)
    assert (series["active"], series["committed_tokens"], series["unstarted"]) == ([2, 2, None], [500, 500, None], [1, 1, None])
    assert (series["decode_per_s"], series["limit_agents"], series["locked"]) == ([40, 40, 80], [8, 8, 4], [0.5, 0.5, 0.5])
    short = timelines(segment(), decided(0.0, 8), last, end)
    assert short.engines == ["e"]
    assert "active" not in short.series("e", 10)


def test_nor_of_several_engines_together():
    made = timelines(
        segment(), *(one for name in "ab" for one in (decided(0.0, 8, name), sampled(1.0, name), decided(1.0, 8, name))),
        *(sampled(1.5, name, active=0) for name in "ab"), r.SegmentFinished(t=1.5, cause="finished"),
    )  # fmt: skip
    assert made.series(ALL, 1, exactly=True)["active"] == [4]
    assert made.series(ALL, 1, exactly=True)["decode_per_s"] == [pytest.approx(106.7, abs=0.1)]
