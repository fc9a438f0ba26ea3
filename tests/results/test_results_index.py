from hypothesis import given
from hypothesis import strategies as st
from journals import EPOCH, end, reply, segment, short_life, start, tool

from concur_batch import records as r
from concur_batch.results.index import RolloutIndex


def index_of(records):
    index = RolloutIndex()
    for position, record in enumerate(records):
        index.add(position, record, EPOCH)
    return index


def names(index, order=None):
    return [name for name, _ in index.drain(order)]


def test_job_order_is_the_journals_own_where_none_is_given():
    index = index_of([*short_life("b#1", 1), *short_life("b#0", 1), *short_life("a#0", 0)])
    assert names(index) == ["a#0", "b#0", "b#1"]


def test_given_order_leads_and_loses_nobody():
    index = index_of([*short_life("a#0", 0), *short_life("b#0", 1), *short_life("c#0", 2)])
    assert names(index, [("c", 1), ("missing", 2), ("a", 1)]) == ["c#0", "a#0", "b#0"]


def test_only_the_last_attempt_counts():
    first = short_life("a#0", status="error")
    second = [start("a#0", attempt=2), reply("a#0", 1, base=1), end("a#0")]
    ((_, trace),) = index_of([*first, *second]).drain()
    assert list(trace.positions) == [3, 4, 5]


def test_an_attempt_under_way_hides_the_one_before():
    assert names(index_of([*short_life("a#0", status="error"), start("a#0", attempt=2)])) == []


def test_a_resumed_rollout_keeps_its_records_and_its_start():
    records = [start("a#0", t=1.0), reply("a#0", 1, base=1), start("a#0", t=9.0, resumed=True), end("a#0", t=10.0)]
    ((_, trace),) = index_of(records).drain()
    assert list(trace.positions) == [0, 1, 2, 3]
    assert (trace.started, trace.finished) == (EPOCH + 1, EPOCH + 10)


def test_an_end_without_a_start_is_kept_last():
    index = index_of([end("odd#name#3", status="cancelled"), *short_life("a#0")])
    assert [(name, trace.k) for name, trace in index.drain()] == [("a#0", 0), ("odd#name#3", 3)]


def test_other_kinds_are_passed_over():
    assert names(index_of([segment(), r.Sampled(t=1.0, engine="e"), r.DrainStarted(t=2.0, cause="SIGINT")])) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["start", "resume", "reply", "tool", "end"])), max_size=60))
def test_whoever_ended_last_in_its_attempt_is_given_exactly_once(events):
    kinds = {
        "start": start,
        "resume": lambda name, i: start(name, i, resumed=True),
        "reply": lambda name, _: reply(name, 1, base=1),
        "tool": lambda name, _: tool(name, 2),
        "end": lambda name, _: end(name),
    }
    ended = set()
    for i, kind in events:
        if kind == "end":
            ended.add(f"t{i}#0")
        elif kind == "start":
            ended.discard(f"t{i}#0")
    given_out = names(index_of(kinds[kind](f"t{i}#0", i) for i, kind in events), [("t3", 1)])
    assert sorted(given_out) == sorted(ended)
