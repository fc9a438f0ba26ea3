import pytest
from simulated import ROUND, call, core, run_out
from test_sim_radix import audit

from concur_batch.sim.core import Refused
from concur_batch.sim.cost import FittedCost


def decisions(engine, kind=None):
    return [entry for entry in engine.log if kind is None or entry[1] == kind]


def test_takes_as_long_as_its_iterations():
    engine, one = core(), call("a", ("p", 200), out=5)
    engine.add(one, 3.0)
    run_out(engine)
    assert (one.arrived_at, one.admitted_at, one.first_token_at) == (3.0, 3.0, pytest.approx(5.0))
    assert one.finished_at == pytest.approx(3 + 200 * 0.01 + 4 * 1.0)  # prefill gives the first token
    assert (one.finish_reason, one.generated, one.cached_tokens) == ("stop", 5, 0)
    assert engine.iterations == 5
    assert engine.is_idle


def test_prefill_comes_first_and_decoding_slows_with_company():
    engine, one, two = core(), call("a", out=10), call("b", out=10)
    engine.add(one, 0.0)
    engine.add(two, 1.5)  # in the first decode step of the other, from 1 to 2
    run_out(engine)
    assert two.first_token_at == pytest.approx(2 + 1)
    assert one.finished_at == pytest.approx(1 + 1.0 + 1 + 8 * 1.1)
    assert two.finished_at == pytest.approx(one.finished_at + 1.0)


def test_several_prompts_share_a_prefill_batch_up_to_the_chunk():
    engine = core(chunked_prefill_size=250)
    for rid in "abc":
        engine.add(call(rid), 0.0)
    run_out(engine)
    batches = [entry[2] for entry in decisions(engine, "prefill")]
    assert batches[:3] == [(("a", 0, 100),), (("b", 0, 100), ("c", 0, 100))][:3]


def test_a_long_prompt_is_computed_in_chunks_and_others_fill_the_last():
    engine = core(chunked_prefill_size=128)
    engine.add(call("long", ("p", 300)), 0.0)
    engine.add(call("short", ("q", 50)), 0.0)
    run_out(engine)
    batches = [entry[2] for entry in decisions(engine, "prefill")]
    assert batches == [(("long", 0, 128),), (("long", 128, 128),), (("long", 256, 44), ("short", 0, 50))]


def test_a_conversation_that_goes_on_finds_its_prefix():
    engine = core()
    engine.add(call("1", ("system", 20), ("task", 80), out=50), 0.0)
    run_out(engine)
    again = call("2", ("system", 20), ("task", 80), ("reply to 1", 50), ("observation", 30))
    engine.add(again, 200.0)
    run_out(engine)
    assert again.cached_tokens == 149  # the last token's KV was never computed
    other = call("3", ("system", 20), ("another task", 80))
    engine.add(other, 400.0)
    run_out(engine)
    assert other.cached_tokens == 20
    assert engine.reporter.counters.prefill_cache == 169
    repeated = call("4", ("system", 20), ("task", 80))
    engine.add(repeated, 600.0)
    run_out(engine)
    assert repeated.cached_tokens == 99  # one token is always computed


def test_nobody_is_admitted_while_the_batch_is_full_until_somebody_leaves():
    engine = core(600, context_length=500)
    short, long, waits = (
        call("short", out=5, max_new_tokens=10),
        call("long", out=90, max_new_tokens=150),
        call("waits", ("w", 380)),
    )
    for one in (short, long, waits):
        engine.add(one, 0.0)
    run_out(engine)
    assert waits.admitted_at == short.finished_at < long.finished_at


def test_a_reserve_is_kept_for_what_is_still_to_be_generated():
    # 7 of 10 of the 400 tokens that the first may generate are kept free: the second would fit now, and does not get in.
    engine = core(1000)
    first, second = call("a", ("a", 300), out=50, max_new_tokens=400), call("b", ("b", 300), out=5, max_new_tokens=150)
    engine.add(first, 0.0)
    engine.add(second, 0.0)
    run_out(engine)
    assert second.admitted_at > 3.0
    eager = core(1000, schedule_conservativeness=0.1)
    third = call("c", ("b", 300), out=5, max_new_tokens=150)
    eager.add(call("a", ("a", 300), out=50, max_new_tokens=400), 0.0)
    eager.add(third, 0.0)
    run_out(eager)
    assert third.admitted_at == pytest.approx(3.0)


def test_the_ratio_decays_with_decoding_and_starts_over_when_idle():
    engine = core(log=False)
    engine.add(call("a", out=101), 0.0)
    engine.settle(1 + 100.0 - 0.5)
    assert engine.ratio.current == pytest.approx(0.7 - 99 * (0.7 - 0.098) / 600)
    run_out(engine)
    assert engine.ratio.current == 0.7


@pytest.mark.parametrize(
    ("tokens", "options", "text"),
    [
        (500, {"context_length": 500}, r"The input \(500 tokens\) is longer than the model's context length \(500 tokens\)\."),
        (496, {"context_length": 500}, r"Input length \(496 tokens\) exceeds the maximum allowed length \(494 tokens\)"),
        (2000, {}, r"Input length \(2000 tokens\) exceeds the maximum allowed length \(994 tokens\)"),
    ],
)
def test_what_can_never_fit_is_refused(tokens, options, text):
    with pytest.raises(Refused, match=text):
        core(**options).add(call("a", ("p", tokens)), 0.0)


def test_a_reply_is_cut_where_it_may_not_go_on():
    engine = core(context_length=500)
    limited, full = call("a", out=50, max_new_tokens=20), call("b", ("b", 400), out=200, max_new_tokens=None)
    engine.add(limited, 0.0)
    engine.add(full, 0.0)
    run_out(engine)
    assert (limited.finish_reason, limited.generated) == ("length", 20)
    assert (full.finish_reason, full.generated) == ("length", 98)


def test_abort_ends_a_waiting_request_at_once_and_a_running_one_after_one_more_step():
    engine = core(max_running_requests=1)
    runs, waits = call("runs", out=100), call("waits")
    engine.add(runs, 0.0)
    engine.add(waits, 0.0)
    assert engine.abort("waits", 0.5)
    assert (waits.finish_reason, waits.finished_at) == ("abort", 0.5)
    assert engine.abort("runs", 3.5)
    assert not engine.abort("nobody", 3.5)
    run_out(engine)
    assert (runs.finish_reason, runs.finished_at, runs.generated) == ("abort", pytest.approx(5.0), 5)
    assert engine.is_idle
    assert engine.cache.locked == 0
    audit(engine.cache)


def test_the_last_step_of_an_aborted_request_waits_for_prefills():
    engine = core()
    runs, comes = call("runs", out=100), call("comes", ("other", 100), out=3)
    engine.add(runs, 0.0)
    engine.run_to(4.0)
    engine.abort("runs", 4.5)
    engine.add(comes, 4.6)
    run_out(engine)
    assert (runs.finish_reason, comes.first_token_at) == ("abort", pytest.approx(6.0))
    assert runs.finished_at == pytest.approx(7.1)  # both were in that step


def test_an_aborted_request_has_not_ended_by_itself_although_its_last_step_brings_its_last_token():
    engine = core()
    one = call("one", out=5)
    engine.add(one, 0.0)
    engine.abort("one", 3.5)  # with the third token under way
    engine.run_to(5.0)
    assert (one.finish_reason, one.generated) == ("abort", 5)


def test_abort_in_prefill_and_between_chunks():
    engine = core(chunked_prefill_size=64)
    one = call("a", ("p", 200))
    engine.add(one, 0.0)
    engine.abort("a", 0.7)
    run_out(engine)
    assert (one.finish_reason, one.generated) == ("abort", 0)
    assert engine.cache.locked == 0
    audit(engine.cache)


def test_abort_of_one_that_is_prefilled_again_in_chunks_leaves_nothing_behind():
    engine = core(2_000, chunked_prefill_size=64)
    one = call("a", ("p", 150), out=50)
    engine.add(one, 0.0)
    engine.settle(10.0)
    engine.pause("retract", 10.0)
    engine.run_to(20.0)
    engine.flush(20.0)
    engine.resume(20.0)
    engine.abort("a", 20.9)  # in the second chunk of three
    run_out(engine)
    assert (one.finish_reason, one.generated > 0) == ("abort", True)
    assert (engine.cache.private, engine.cache.protected) == (0, 0)
    assert engine.cache.evictable == 64
    audit(engine.cache)


def test_a_session_that_is_closed_while_it_runs_is_not_opened_again():
    engine = core(session_cache=True)
    engine.add(call("a", session="A", out=5), 0.0)
    assert engine.end_session("A", 2.5) == 0
    run_out(engine)
    assert engine.end_session("A", 50.0) == 0


def test_priority_goes_first_and_preempts_when_all_places_are_taken():
    engine = core(max_running_requests=1, priority_scheduling=True)
    low, high, near = call("low", out=50, priority=0), call("high", priority=50), call("near", priority=5)
    engine.add(low, 0.0)
    engine.add(near, 2.0)
    engine.add(high, 3.0)
    order = [one.rid for one in run_out(engine)]
    assert order == ["high", "near", "low"]
    assert (low.retractions, near.retractions) == (1, 0)
    audit(engine.cache)


def test_longest_prefix_first():
    engine = core(2000, schedule_policy="lpm", chunked_prefill_size=120)
    engine.add(call("0", ("known", 100), out=1), 0.0)
    run_out(engine)
    engine.add(call("first", ("x", 100), out=30), 10.0)
    engine.add(call("cold", ("y", 100), out=1), 10.1)
    engine.add(call("warm", ("known", 100), ("more", 10), out=1), 10.2)
    run_out(engine)
    batches = [[rid for rid, _, _ in entry[2]] for entry in decisions(engine, "prefill")]
    assert batches[2][0] == "warm"


def test_waiting_prefixes_are_touched_in_the_new_release_only():
    kept = {}
    for version in ("0.5.23", "0.5.8"):
        engine = core(500, version=version, max_running_requests=1)
        engine.add(call("w0", ("waits", 100), out=1), 0.0)
        engine.add(call("i0", ("idle", 100), out=1), 2.0)
        run_out(engine)
        engine.add(call("long", ("l", 100), out=100, max_new_tokens=100), 10.0)  # looks at the queue, which is empty
        engine.add(call("w1", ("waits", 100), ("more", 50), out=1), 10.1)
        engine._passes._passes = 0
        engine.is_full = False
        engine._passes._order()
        engine.cache.evict(100)
        kept[version] = engine.cache.match(call("x", ("waits", 100)).prompt, 99).device_tokens
    assert kept == {"0.5.23": 99, "0.5.8": 0}


def test_the_old_release_evicts_more_than_it_needs():
    evicted = {}
    for version in ("0.5.23", "0.5.8"):
        engine = core(500, version=version)
        for i in range(4):
            engine.add(call(str(i), (f"p{i}", 100), out=1), 10.0 * i)
            run_out(engine)
        engine.add(call("big", ("big", 150), out=1), 100.0)
        run_out(engine)
        evicted[version] = engine.cache.evicted_total
    assert evicted == {"0.5.23": 100, "0.5.8": 200}


def test_host_memory_saves_computing():
    slow = core(400, host_ratio=4.0)
    for rid, name in (("1", "a"), ("2", "b"), ("3", "c"), ("4", "a")):
        last = call(rid, (name, 190), out=2)
        slow.add(last, 1000.0 * int(rid))
        run_out(slow)
    assert (last.cached_tokens, last.host_cached_tokens) == (189, 189)
    assert slow.reporter.counters.load_back == 189
    audit(slow.cache)


def test_loading_from_the_host_takes_its_time():
    engine = core(400, host_ratio=4.0, host_gb_per_s=1e-3, kv_bytes_per_token=100_000)  # 10 tokens per second
    for rid, name in (("1", "a"), ("2", "b"), ("3", "c"), ("4", "a")):
        last = call(rid, (name, 190), out=1)
        engine.add(last, 1000.0 * int(rid))
        run_out(engine)
    assert last.finished_at - last.arrived_at == pytest.approx(18.9)


def test_to_look_up_a_waiting_prompt_cuts_nothing_off_it():
    engine = core(500, chunked_prefill_size=64)
    engine.add(call("first", ("p", 50), out=5), 0.0)
    run_out(engine)
    engine._passes._passes = 0  # the next pass looks at all who wait
    engine.pause("in_place", 100.0)
    engine.add(call("long", ("q", 200), out=5), 100.0)
    engine.add(call("again", ("p", 50), out=5), 100.0)
    engine.resume(100.0)  # a chunk of the long one; the other one's turn has not come
    assert [node.tokens for node in engine.cache.root.children.values()] == [50]
    run_out(engine)
    assert 49 in [node.tokens for node in engine.cache.root.children.values()]


def test_pausing_holds_retracts_or_aborts():
    for mode in ("in_place", "retract", "abort"):
        engine, one = core(), call("a", out=20)
        engine.add(one, 0.0)
        engine.pause(mode, 4.5)
        engine.run_to(50.0)
        assert engine.next_time() is None
        assert (one.generated, one.finish_reason) == (5, "abort" if mode == "abort" else None)
        assert engine.cache.locked == (104 if mode == "in_place" else 0)
        assert engine.flush(50.0) == (mode != "in_place")  # who waits holds nothing
        engine.resume(50.0)
        run_out(engine)
        assert one.generated == (5 if mode == "abort" else 20)
        assert one.retractions == (mode == "retract")
        audit(engine.cache)


def test_flush_empties_an_idle_cache_only():
    engine = core()
    engine.add(call("a"), 0.0)
    assert not engine.flush(0.5)
    run_out(engine)
    assert engine.cache.evictable == 109
    assert engine.flush(100.0)
    assert (engine.cache.evictable, engine.cache.free) == (0, 1000)


def test_sessions_that_are_closed_are_evicted_first():
    engine = core(1000, session_cache=True)
    engine.add(call("a", session="A", out=1), 0.0)
    run_out(engine)
    engine.add(call("b", session="B", out=1), 10.0)
    run_out(engine)
    assert engine.end_session("B", 20.0) == 1
    engine.cache.evict(1)
    assert engine.cache.match(call("b").prompt, 100).device_tokens == 0
    assert engine.cache.match(call("a").prompt, 100).device_tokens == 100


def test_an_empty_prompt_is_answered():
    engine, one = core(), call("a", ("nothing", 0))
    engine.add(one, 0.0)
    run_out(engine)
    assert (one.prompt_tokens, one.generated) == (1, 10)


def test_an_iteration_that_takes_no_time_is_still_one():
    engine, one = core(cost=FittedCost()), call("a")
    engine.add(one, 1.0)
    run_out(engine)
    assert (engine.iterations, one.finished_at) == (10, 1.0)
    assert ROUND.decode_line(1)[0] == 1.0
