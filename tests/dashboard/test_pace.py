import pytest

from concur_batch import records as r
from concur_batch.dashboard import pace
from concur_batch.state import fold

START = [r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"), r.BatchLoaded(t=0, tasks=10, rollouts=10)]


def reply(t, name="a#0", step=1):
    return r.ReplyReceived(
        t=t,
        rollout=name,
        engine="e",
        step=step,
        n=step,
        hash="",
        base=0,
        new=[],
        message={},
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=5,
    )


def sampled(t, steps, engine="e"):
    return r.Sampled(t=t, engine=engine, steps=steps, generated_tokens=5 * steps, prompt_tokens=10 * steps)


def started(t, name="a#0"):
    return r.RolloutStarted(t=t, rollout=name, engine="e", task=name[:-2], k=0, index=0, seed=0)


def test_current_pace_is_that_of_the_last_seconds_over_all_engines():
    samples = [sampled(t, 100 if t < 30 else 2) for t in range(1, 61)] + [sampled(t, 1, "f") for t in range(46, 61)]
    state = fold([*START, reply(1), *samples])
    assert pace.current(state, 60.0).steps == pytest.approx(2 + 15 / 60)  # f's first sample covers all the time before it
    assert pace.current(state, 60.0, 10).prompt_tokens == pytest.approx(30)


def test_silence_slows_the_pace_down():
    state = fold([*START, reply(1), *(sampled(t, 2) for t in range(1, 61))])
    assert pace.current(state, 62.0).steps == pytest.approx(2)
    assert pace.current(state, 70.0).steps < 1
    assert pace.current(state, 90.0) is None


def test_another_segments_samples_say_nothing_about_now():
    earlier = [*START, started(0), reply(1), *(sampled(t, 50) for t in range(1, 9))]
    again = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=2, version="0")
    assert pace.current(fold([*earlier, again]), 10.0) is None
    state = fold([*earlier, again, reply(0.5), *(sampled(t, 2) for t in range(1, 5))])
    assert pace.current(state, 4.0).steps == pytest.approx(2)


def test_estimated_end_counts_the_steps_still_to_do():
    ended = [x for k in range(4) for x in (started(0, f"{k}#0"), *(reply(k + 1, f"{k}#0", s) for s in range(1, 6)))]
    ended += [r.RolloutFinished(t=5, rollout=f"{k}#0", engine="e", status="completed") for k in range(4)]
    live = [started(5, "x#0"), reply(6, "x#0")]
    state = fold([*START, *ended, *live])
    # 21 steps in 21 s; ended ones took 5 each, and x is taken to take 2; 5 unstarted are left, and what x has to do
    mean = (4 * 5 + 2) / 5
    assert pace.left_s(state, 21.0) == pytest.approx(5 * mean + mean - 1)
    state.apply(r.DrainStarted(t=7, cause="SIGINT"))
    assert pace.left_s(state, 21.0) is None


def test_nothing_is_said_before_anything_ended():
    assert pace.left_s(fold([*START, started(0), reply(1)]), 2.0) is None
    assert pace.overall(fold(START), 0.0) is None


def quick(count, live):
    """Some that ended after a step of a tenth of a second; the others have taken none."""
    yield r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")
    yield r.BatchLoaded(t=0, tasks=count + live, rollouts=count + live)
    for k in range(count):
        yield started(0, f"{k}#0")
        yield reply(1, f"{k}#0")
        yield r.RolloutFinished(t=1, rollout=f"{k}#0", engine="e", status="completed")
    for k in range(live):
        yield started(0, f"x{k}#0")
    yield sampled(1, count)


def test_nothing_is_said_while_too_few_have_ended():
    assert pace.left_s(fold(quick(1, 11)), 3.0) is None
    assert pace.left_s(fold(quick(2, 10)), 3.0) is not None


def test_a_moment_that_has_passed_is_not_promised_again():
    state = fold(quick(6, 6))
    assert pace.left_s(state, 1.2) == pytest.approx(1.0)
    for now in (3.0, 40.0, 81.0):
        assert pace.left_s(state, now) is None or pace.left_s(state, now) >= now - 1


def test_it_takes_as_long_as_the_one_with_most_ahead():
    stream = list(quick(6, 2))
    for record in stream:
        if isinstance(record, r.ReplyReceived):
            record.model_s = 10.0
    assert pace.left_s(fold(stream), 1.2) == pytest.approx(10.0)


def test_nothing_is_said_while_rollouts_wait_for_a_lost_engine():
    lost = r.EngineLost(t=1.1, engine="e", message="e does not answer")
    seen = [r.EngineSeen(t=0, engine=name, engine_kind="sglang") for name in "ef"]
    alone, stream = list(quick(6, 6)), [*quick(6, 6)]
    both = [*stream[:2], *seen, *stream[2:]]
    for records in (alone, both):
        assert pace.left_s(fold(records), 1.2) is not None
        assert pace.left_s(fold([*records, lost]), 1.2) is None
        assert pace.left_s(fold([*records, lost, r.EngineReturned(t=1.15, engine="e", away_s=0.05)]), 1.2) is not None
    ended = [r.RolloutFinished(t=1, rollout=f"x{k}#0", engine="e", status="completed") for k in range(6)]
    more = r.BatchLoaded(t=1, tasks=120, rollouts=120)
    assert pace.left_s(fold([*both, *ended, more, lost]), 1.2) is not None  # the other one's
    assert pace.left_s(fold([*alone, *ended, more, lost]), 1.2) is None
