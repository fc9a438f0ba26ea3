"""Abort, disconnect, flush, pause: what happens to requests under way, and what the answers are."""

from __future__ import annotations

import time

import pytest
from conformance_client import CHAT, NATIVE, chat, native, until

FLAVOUR = "plain"
FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. "
    "(When there are running or waiting requests, the operation will not be performed.)\n"
)
LONG = {"max_tokens": 6_000}
NOBODY_WAITS_S = 10  # SGLang looks every 4 seconds whether the client of a whole reply is still there


def abort(target, **who):
    answer = target.post("/abort_request", who)
    assert (answer.status, answer.text, answer.headers["content-length"]) == (200, "", "0")


def test_conformance_a_victim_gets_what_has_been_said(target):
    asked = target.later(CHAT, chat(rid="victim", **LONG))
    target.until_running(1)
    until(lambda: target.load()["num_used_tokens"] > 100)
    abort(target, rid="victim")
    answer = asked.result()
    (choice,) = answer.json["choices"]
    assert (answer.status, choice["finish_reason"], choice["matched_stop"]) == (200, "abort", None)
    said = answer.json["usage"]["completion_tokens"]
    assert 10 < said < 6_000
    assert len(choice["message"]["content"]) == said
    assert answer.json["usage"]["total_tokens"] == answer.json["usage"]["prompt_tokens"] + said


def test_conformance_a_stream_ends_with_abort_usage_and_done(target):
    asked = target.later(CHAT, chat(rid="stream", stream=True, stream_options={"include_usage": True}, **LONG))
    target.until_running(1)
    until(lambda: target.load()["num_used_tokens"] > 100)
    abort(target, rid="stream")
    *chunks, end, usage = asked.result().events
    assert end["choices"][0]["finish_reason"] == "abort"
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks} == {None}
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert usage["usage"]["completion_tokens"] == len(said)


def test_conformance_a_native_victim_is_told_why(target):
    asked = target.later(NATIVE, native(max_new_tokens=6_000, rid="native"))
    target.until_running(1)
    abort(target, rid="native")
    reason = asked.result().json["meta_info"]["finish_reason"]
    assert (asked.result().status, reason["type"]) == (200, "abort")
    assert set(reason) == {"type", "message", "status_code", "err_type"}
    assert (reason["status_code"], reason["err_type"]) == (None, None)


@pytest.mark.parametrize("who", [{"rid": "nobody"}, {"rid": "pref"}, {"rid": ""}, {}, {"abort_all": False}])
def test_conformance_an_abort_of_somebody_else_does_nothing(target, who):
    """Also not of one whose id begins so."""
    asked = target.later(CHAT, chat(rid="prefix", **LONG))
    target.until_running(1)
    abort(target, **who)
    said = target.load()["num_used_tokens"]
    until(lambda: asked.done() or target.load()["num_used_tokens"] > said + 40)
    assert not asked.done()
    abort(target, rid="prefix")
    assert asked.result().json["usage"]["completion_tokens"] > 40


def test_conformance_all_are_aborted(target):
    asked = [target.later(CHAT, chat(**LONG)) for _ in range(3)]
    target.until_running(3)
    abort(target, abort_all=True)
    assert {one.result().json["choices"][0]["finish_reason"] for one in asked} == {"abort"}
    target.until_running(0)


def test_conformance_who_waits_is_aborted_without_a_word(target):
    first = target.later(CHAT, chat("x" * 9_981, max_tokens=6_000))  # reserves its whole answer
    target.until_running(1)
    second = target.later(CHAT, chat("y" * 9_981, rid="waits", max_tokens=6_000))
    target.until_running(1, 1)
    abort(target, rid="waits")
    reply = second.result().json
    assert (reply["choices"][0]["finish_reason"], reply["choices"][0]["message"]["content"]) == ("abort", "")
    assert reply["usage"]["completion_tokens"] == 0
    abort(target, abort_all=True)
    first.result()


def test_conformance_what_a_victim_computed_stays_in_the_cache(target):
    text = "kept " * 100
    asked = target.later(CHAT, chat(text, rid="kept", **LONG))
    target.until_running(1)
    abort(target, rid="kept")
    asked.result()
    assert target.chat(text)["usage"]["prompt_tokens_details"]["cached_tokens"] == 518


def test_conformance_aborts_are_counted(target):
    before = target.value("num_aborted_requests_total"), target.value("num_requests_total")
    asked = target.later(CHAT, chat(rid="counted", **LONG))
    target.until_running(1)
    abort(target, rid="counted")
    asked.result()
    assert target.value("num_aborted_requests_total") == before[0] + 1
    assert target.value("num_requests_total") == before[1] + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, NATIVE])
def test_conformance_a_client_that_goes_away_frees_its_tokens(target, stream, path):
    body = chat(stream=stream, **LONG) if path == CHAT else native(max_new_tokens=6_000, stream=stream)
    with target.asking("POST", path, body):
        target.until_running(1)
    until(lambda: target.load()["num_running_reqs"] == 0, NOBODY_WAITS_S)
    until(lambda: target.load()["num_used_tokens"] == 0)


def test_conformance_a_client_that_goes_away_while_it_waits(target):
    first = target.later(CHAT, chat("x" * 9_981, max_tokens=6_000))
    target.until_running(1)
    with target.asking("POST", CHAT, chat("y" * 9_981, max_tokens=6_000)):
        target.until_running(1, 1)
    until(lambda: target.load()["num_waiting_reqs"] == 0, NOBODY_WAITS_S)
    abort(target, abort_all=True)
    assert first.result().status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("query", ["", "?timeout=5"])
def test_conformance_a_flush_of_an_idle_server(target, method, query):
    answer = target.ask(method, f"/flush_cache{query}")
    assert (answer.status, answer.text) == (200, FLUSHED)
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_conformance_a_flush_of_a_busy_server_fails(target, method):
    asked = target.later(CHAT, chat(**LONG))
    target.until_running(1)
    answer = target.ask(method, "/flush_cache")
    assert (answer.status, answer.text) == (400, "Flush cache failed.\n")
    assert target.load()["num_running_reqs"] == 1
    abort(target, abort_all=True)
    asked.result()


def test_conformance_a_flush_may_wait_for_an_idle_server(target):
    text = "flushed " * 20
    asked = target.later(CHAT, chat(text, max_tokens=400))
    target.until_running(1)
    answer = target.post("/flush_cache?timeout=30")
    assert (answer.status, answer.text) == (200, FLUSHED)
    assert asked.result().json["choices"][0]["finish_reason"] == "length"
    assert target.chat(text)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_conformance_a_flush_waits_no_longer_than_it_may(target):
    asked = target.later(CHAT, chat(**LONG))
    target.until_running(1)
    began = time.monotonic()
    answer = target.post("/flush_cache?timeout=0.5")
    assert (answer.status, answer.text) == (400, "Timed out waiting for idle state.")
    assert time.monotonic() - began > 0.49
    abort(target, abort_all=True)
    asked.result()


@pytest.mark.parametrize("mode", ["in_place", "retract"])
def test_conformance_a_pause_holds_what_runs_until_it_continues(target, mode):
    asked = target.later(CHAT, chat(max_tokens=400))
    target.until_running(1)
    paused = target.post("/pause_generation", {"mode": mode})
    assert (paused.status, paused.json) == (200, {"message": "Generation paused successfully.", "status": "ok"})
    late = target.later(CHAT, chat())
    time.sleep(2.5)  # 400 tokens would have been said
    assert not asked.done()
    assert not late.done()
    continued = target.post("/continue_generation", {})
    assert (continued.status, continued.json) == (200, {"message": "Generation continued successfully.", "status": "ok"})
    assert asked.result().json["usage"]["completion_tokens"] == 400
    assert asked.result().json["choices"][0]["finish_reason"] == late.result().json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("body", [{}, {"mode": "abort"}])
def test_conformance_a_pause_ends_all_unless_told_otherwise(target, body):
    asked = target.later(CHAT, chat(**LONG))
    target.until_running(1)
    assert target.post("/pause_generation", body).status == 200
    assert asked.result().json["choices"][0]["finish_reason"] == "abort"
    late = target.later(CHAT, chat())
    time.sleep(0.5)
    assert not late.done()
    target.post("/continue_generation", {})
    assert late.result().json["choices"][0]["finish_reason"] == "length"


def test_conformance_continuing_what_is_not_paused(target):
    assert target.post("/continue_generation", {}).status == 200
    assert target.chat()["choices"][0]["finish_reason"] == "length"
