"""What holds for any load on any server: accounts, an end for everybody, and bursts that decide as single steps do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import call, core
from test_sim_radix import audit

LOADS = st.lists(
    st.tuples(
        st.floats(0, 30), st.sampled_from(["s", "t"]), st.integers(1, 120), st.integers(1, 60), st.sampled_from([None, 20, 60])
    ),
    min_size=1,
    max_size=12,
)
OPTIONS = st.fixed_dictionaries(
    {
        "page_size": st.sampled_from([1, 1, 16]),
        "version": st.sampled_from(["0.5.23", "0.5.8"]),
        "chunked_prefill_size": st.sampled_from([32, 64, 8192]),
        "schedule_conservativeness": st.sampled_from([0.01, 1.0]),
        "host_ratio": st.sampled_from([0.0, 2.0]),
        "max_running_requests": st.sampled_from([2, 100]),
        "priority_scheduling": st.booleans(),
        "session_cache": st.booleans(),
        "schedule_policy": st.sampled_from(["fcfs", "lpm"]),
    }
)


def replayed(load, options, *, capacity, streamed, each):
    engine = core(capacity, **options)
    arrivals = sorted(load, key=lambda arrival: arrival[0])
    for i, (time, shared, private, out, most) in enumerate(arrivals):
        one = call(
            f"r{i}",
            (shared, 30),
            (f"p{i % 4}", private),
            out=out,
            max_new_tokens=most,
            priority=(i % 3) * 20,
            streamed=streamed,
            session=f"s{i % 4}",
        )
        while (due := engine.next_time()) is not None and due <= time:
            engine.run_to(due)
            each(engine)
        engine.add(one, time)
        each(engine)
    while (due := engine.next_time()) is not None:
        engine.run_to(due)
        each(engine)
    return engine


@settings(max_examples=120)
@given(LOADS, OPTIONS, st.sampled_from([320, 480, 4000]))
def test_the_accounts_hold_at_every_iteration_and_everybody_ends(load, options, capacity):
    def each(engine):
        audit(engine.cache)
        held = [one for one in engine.running if one.node is not None]
        assert engine.cache.private == sum(one.held for one in held + [c for c, _ in engine._batch] + chunked(engine))

    def chunked(engine):
        return [engine.chunked] if engine.chunked is not None and not engine._batch else []

    engine = replayed(load, options, capacity=capacity, streamed=False, each=each)
    assert engine.is_idle
    assert (engine.cache.locked, engine.waiting, engine.running) == (0, [], [])
    assert engine.waiting_tokens == 0


@settings(max_examples=80)
@given(LOADS, OPTIONS, st.sampled_from([320, 4000]))
def test_steps_computed_at_once_decide_as_steps_one_by_one(load, options, capacity):
    at_once, one_by_one = (
        replayed(load, options, capacity=capacity, streamed=streamed, each=lambda _: None) for streamed in (False, True)
    )
    assert at_once.log == one_by_one.log
    assert at_once.iterations == one_by_one.iterations
    mine, theirs = at_once.reporter.counters, one_by_one.reporter.counters
    assert (mine.decode, mine.prefill_compute, mine.prefill_cache) == (
        theirs.decode,
        theirs.prefill_compute,
        theirs.prefill_cache,
    )
    assert at_once.cache.evicted_total == one_by_one.cache.evicted_total
    assert mine.decode_moments == pytest.approx(theirs.decode_moments)
