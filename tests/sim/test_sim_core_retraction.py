"""Decoding that finds no room: who goes back to the queue, and what follows."""

import pytest
from simulated import call, core, run_out
from test_sim_core import decisions
from test_sim_radix import audit


def test_when_decoding_finds_no_room_the_youngest_and_longest_go_back_to_the_queue():
    engine = core(400, schedule_conservativeness=0.01)
    calls = [call("a", ("a", 80), out=120), call("b", ("b", 100), out=120), call("c", ("c", 90), out=120)]
    for i, one in enumerate(calls):
        engine.add(one, i * 0.1)
    ended = run_out(engine)
    retracted = [entry[2] for entry in decisions(engine, "retract")]
    assert retracted[0] == "b"  # as few tokens as c, and a longer prompt
    assert {one.rid for one in ended} == {"a", "b", "c"}
    assert all(one.generated == 120 for one in calls)
    assert calls[1].retractions >= 1
    assert calls[1].recomputed_tokens >= 1
    counters = engine.reporter.counters
    assert counters.retracted_requests == len(retracted)
    assert counters.input < counters.prefill_compute
    audit(engine.cache)


def test_the_last_one_that_finds_no_room_is_aborted():
    engine = core(100, schedule_conservativeness=0.01)
    one = call("a", ("a", 60), out=50)
    engine.add(one, 0.0)
    engine.cache.take(20)  # something that never goes away
    engine.cache.private -= 20
    engine.cache.capacity -= 20
    run_out(engine)
    assert one.finish_reason == "abort"
    assert "Out of memory" in one.message


def test_who_is_put_back_waits_behind_those_who_came_meanwhile():
    engine = core(max_running_requests=1, priority_scheduling=True)
    for rid, priority, at in (("low", 0, 0.0), ("same", 0, 2.0), ("high", 50, 3.0)):
        engine.add(call(rid, out=20, priority=priority), at)
    assert [one.rid for one in run_out(engine)] == ["high", "same", "low"]


def test_the_ratio_after_a_retraction_is_that_of_the_moment():
    engine = core(400, schedule_conservativeness=0.01)
    for i, rid in enumerate("abc"):  # each is let in when the one before already runs, and all seem to fit
        engine.add(call(rid, (rid, 80 + i), out=120), i * 2.0)
    for _ in range(20):
        if not decisions(engine, "retract"):
            engine.run_to(engine.next_time())
    stay = engine.running
    assert [one.rid for one in stay] == ["a", "b"]
    estimate = (sum(one.generated for one in stay) + 20 * len(stay)) / (120 * len(stay) + 1)
    assert engine.ratio.current == pytest.approx(estimate)
    engine.run_to(engine.next_time())  # the step that retracted; it does not count
    assert engine.ratio.current == pytest.approx(estimate)
    engine.run_to(engine.next_time())
    assert engine.ratio.current != pytest.approx(estimate)
    run_out(engine)
    audit(engine.cache)


def test_after_a_retraction_those_who_stay_run_in_the_order_of_whom_to_keep():
    engine = core(350, schedule_conservativeness=0.01, chunked_prefill_size=40)
    for rid, prompt in (("long", 120), ("middle", 80), ("short", 40)):  # chunk by chunk, and so with equal outputs
        engine.add(call(rid, (rid, prompt), out=100), 0.0)
    while not decisions(engine, "retract"):
        engine.run_to(engine.next_time())
    assert [one.rid for one in engine.running] == ["short", "middle"]
    run_out(engine)
    audit(engine.cache)
