"""--enable-priority-scheduling, with two running slots."""

from __future__ import annotations

import pytest
from conformance_client import CHAT, TEXT, chat, new, until
from conformance_series import NOT_SIMULATED, listed, series_of

FLAVOUR = "priority"
LONG = {"max_tokens": 8_000}


def finished(calls):
    """Names in the order of their ends."""
    order = []

    def all_are() -> bool:
        order.extend(name for name, call in calls.items() if call.done() and name not in order)
        return len(order) == len(calls)

    until(all_are)
    return order


def queue(target, priorities, tokens=40):
    """Requests of equal priority hold the slots while these line up; then they may go."""
    holders = [target.later(CHAT, chat(rid=f"hold-{i}", priority=1_000, **LONG)) for i in range(2)]
    target.until_running(2)
    calls = {}
    for name, priority in priorities.items():
        calls[name] = target.later(CHAT, chat(max_tokens=tokens, priority=priority))
        target.until_running(2, len(calls))
    target.post("/abort_request", {"rid": "hold-0"})  # one slot after the other, so that the order shows
    holders[0].result()
    order = finished(calls)
    target.post("/abort_request", {"rid": "hold-1"})
    holders[1].result()
    return order


def test_conformance_more_urgent_requests_overtake(target):
    assert queue(target, {"low": 1, "high": 8, "middle": 5, "high again": 8}) == ["high", "high again", "middle", "low"]


def test_conformance_equals_keep_their_order(target):
    assert queue(target, {"a": 3, "b": 3, "c": 3}) == ["a", "b", "c"]


def test_conformance_a_request_without_a_priority_comes_last(target):
    assert queue(target, {"none": None, "below zero": -5, "zero": 0}) == ["zero", "below zero", "none"]


def test_conformance_a_far_more_urgent_request_preempts_a_running_one(target):
    low = [target.later(CHAT, chat(rid=f"low-{i}", priority=0, max_tokens=600)) for i in range(2)]
    target.until_running(2)
    high = target.later(CHAT, chat(priority=50, max_tokens=20))
    assert high.result().json["choices"][0]["finish_reason"] == "length"
    assert not any(call.done() for call in low)
    assert {call.result().json["usage"]["completion_tokens"] for call in low} == {600}
    assert target.value("num_retracted_requests_total") == 0  # preemption is not counted as retraction


def test_conformance_a_slightly_more_urgent_request_waits(target):
    low = [target.later(CHAT, chat(priority=0, **LONG)) for _ in range(2)]
    target.until_running(2)
    near = target.later(CHAT, chat(priority=10))
    target.until_running(2, 1)
    assert not near.done()
    target.post("/abort_request", {"abort_all": True})
    assert {call.result().json["choices"][0]["finish_reason"] for call in (*low, near)} == {"abort"}


def counts(target, name):
    return {one.labels["priority"]: one.value for one in target.series(name) if one.name == f"sglang:{name}"}


def test_conformance_queues_are_told_by_priority_and_in_all(target):
    """The total has an empty label: adding all series up counts twice."""
    calls = [target.later(CHAT, chat(priority=7, **LONG)) for _ in range(2)]
    target.until_running(2)
    for waiting in range(1, 4):
        calls.append(target.later(CHAT, chat(priority=3 if waiting < 3 else 4)))
        target.until_running(2, waiting)
    until(lambda: counts(target, "num_queue_reqs").get("") == 3)
    assert {key: value for key, value in counts(target, "num_queue_reqs").items() if value} == {"": 3, "3": 2, "4": 1}
    assert {key: value for key, value in counts(target, "num_running_reqs").items() if value} == {"": 2, "7": 2}
    target.post("/abort_request", {"abort_all": True})
    for call in calls:
        call.result()
    until(lambda: counts(target, "num_running_reqs")[""] == 0)
    assert set(counts(target, "num_running_reqs").values()) == {0}
    assert {"", "3", "4", "7"} <= set(counts(target, "num_queue_reqs"))


def test_conformance_ended_requests_are_counted_by_priority(target):
    before = target.value("num_requests_total", priority="17")
    target.chat(priority=17)
    until(lambda: target.value("num_requests_total", priority="17") == before + 1)
    labels = {one.labels["priority"] for one in target.series("token_usage")}
    assert labels == {""}


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_conformance_without_a_priority_the_label_is_empty_and_the_lowest_in_queues(target, path):
    body = chat() if path == CHAT else {"prompt": new(), "max_tokens": 4, "ignore_eos": True}
    before = target.value("num_requests_total", priority="")
    target.post(path, body)
    until(lambda: target.value("num_requests_total", priority="") == before + 1)
    assert counts(target, "num_queue_reqs")["-9223372036854775808"] == 0


def test_conformance_the_series_of_a_server_with_priorities(target):
    for stream in (False, True):
        body = chat("x" * 200, priority=1, stream=stream, max_tokens=60)
        target.post(CHAT, body)
    target.post("/abort_request", {"abort_all": True})
    target.chat(new("y", 9_981), priority=1)
    target.chat(new("z", 9_981), priority=1)
    found = series_of(target.get("/metrics").text)
    assert {line for line in found if line.split()[0] not in NOT_SIMULATED} == listed("priority")
