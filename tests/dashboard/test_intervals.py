import pytest

from concur_batch import records as r
from concur_batch.dashboard.intervals import gather, newest, total
from concur_batch.state import fold

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")


def sampled(t, engine="e", **figures):
    told = {"prompt_tokens": 100, "cached_tokens": 80, "history_tokens": 50, "missed_tokens": 5, "generated_tokens": 30}
    return r.Sampled(t=t, engine=engine, **(told | figures))


def test_engines_add_up():
    both = [x for t in range(1, 9) for x in (sampled(t, queued_requests=2), sampled(t, "f", queued_requests=4, cached_tokens=40))]
    state = fold([OPENED, *both])
    step, columns = gather(state, 8.0, 4)
    assert (step, len(columns)) == (2.0, 4)
    assert [(x.hit, x.miss, x.queued, x.decode, x.prefill) for x in columns] == [(0.6, 0.1, 6.0, 60.0, None)] * 4
    assert newest(list(state.engines.values()), "queued_requests") == 6
    assert newest(list(state.engines.values()), "running_requests") is None


def test_engines_that_are_sampled_more_often_count_once():
    often = [sampled(t / 2, queued_requests=2, running_requests=8, prefill_tokens=50) for t in range(1, 17)]
    seldom = [sampled(float(t), "f", queued_requests=4, running_requests=1, prefill_tokens=50) for t in range(2, 9, 2)]
    state = fold([OPENED, *sorted([*often, *seldom], key=lambda x: x.t)])
    step, columns = gather(state, 8.0, 4)
    assert step == 2.0
    told = [(x.decode, x.prefill, x.queued, x.running) for x in columns[1:]]
    assert told == [(60.0 + 15.0, 100.0 + 25.0, 6.0, 9.0)] * 3
    assert total(state, 8.0).decode == pytest.approx(60 + 30 * 4 / 7)  # the first sample is of one second


def test_requests_weigh_as_long_as_they_were_there():
    state = fold([OPENED, sampled(0.5, queued_requests=9), sampled(2, queued_requests=0)])
    assert [x.queued for x in gather(state, 2.0, 1)[1]] == [9 * 0.5 / 2]


def test_bounds_stay_where_they_are():
    state = fold([OPENED, *(sampled(float(t), generated_tokens=t) for t in range(1, 31))])
    _, before = gather(state, 30.0, 10)
    state.apply(sampled(31.0, generated_tokens=99))
    _, after = gather(state, 31.0, 10)
    assert [x.decode for x in after[:-1]] == [x.decode for x in before[1:]]


def test_what_is_not_told_is_a_gap():
    state = fold([OPENED, sampled(1, cached_tokens=None, missed_tokens=None), sampled(4, prompt_tokens=0, history_tokens=0)])
    _, columns = gather(state, 4.0, 4)
    assert [(x.hit, x.miss) for x in columns] == [(None, None)] * 4
    assert [x.decode for x in columns] == [30.0, None, None, 10.0]


def test_now_is_the_last_15_seconds_and_silence_counts():
    state = fold([OPENED, *(sampled(float(t), generated_tokens=60 if t > 45 else 0) for t in range(1, 61))])
    assert total(state, 60.0).decode == 60.0
    assert total(state, 60.0).hit == 0.8
    assert total(state, 64.0).decode == 60.0
    assert total(state, 70.0).decode == pytest.approx(60 * 5 / 15)
    assert total(state, 90.0).decode is None


def test_of_many_engines_it_looks_less_far_back():
    many = [sampled(float(t), f"{k}") for t in range(1, 241) for k in range(40)]
    step, columns = gather(fold([OPENED, *many]), 240.0, 60)
    assert sum(x.samples for x in columns) <= 4_000
    assert step < 4
    assert {x.decode for x in columns if x.samples} == {40 * 30.0}
