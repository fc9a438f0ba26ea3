"""A pool of 2,000 tokens, filled recklessly: retraction; and sessions, which decide what is evicted first."""

from __future__ import annotations

from conformance_client import CHAT, NATIVE, cached, chat, native, new, until

FLAVOUR = "small"
NO_END = {"logit_bias": {str(token): -100 for token in range(97, 101)}}  # the real model might end by itself
RETRACTED = ("num_retracted_requests_total", "num_retracted_input_tokens_total", "num_retracted_output_tokens_total")


def is_full(target):
    return target.load()["num_used_tokens"] > 1_700


def crowd(target, path=CHAT):
    """Eight requests whose answers do not find room together. One after the other: of those that are admitted in one pass, each
    has its whole answer reserved.
    """
    if path == CHAT:
        bodies = [chat(new("x", 81), max_tokens=300, ignore_eos=False, return_meta_info=True) | NO_END for _ in range(8)]
    else:
        sampling = {"max_new_tokens": 300, "temperature": 0} | NO_END
        bodies = [native(new("x", 100)) | {"sampling_params": sampling} for _ in range(8)]
    calls = []
    for running, body in enumerate(bodies, 1):
        calls.append(target.later(path, body))
        until(lambda running=running: is_full(target) or target.load()["num_running_reqs"] >= running)
    return [call.result().json for call in calls]


def test_conformance_retracted_requests_say_all_they_were_asked_for(target):
    """What is computed again counts as work, and not as tokens that came in."""
    computed, effective = (
        ("realtime_tokens_total", {"mode": "prefill_compute"}),
        ("prefill_effective_tokens_total", {"mode": "input"}),
    )
    before = {name: target.value(name) for name in RETRACTED}
    work, came_in = (target.value(name, **mode) for name, mode in (computed, effective))
    replies = crowd(target)
    assert {reply["usage"]["completion_tokens"] for reply in replies} == {300}
    assert {reply["choices"][0]["finish_reason"] for reply in replies} == {"length"}
    times = [reply["choices"][0]["meta_info"]["num_retractions"] for reply in replies]
    assert sum(times) >= 1
    gone = {name: target.value(name) - before[name] for name in RETRACTED}
    assert gone["num_retracted_requests_total"] == sum(times)
    assert gone["num_retracted_input_tokens_total"] == 100 * sum(times)
    assert gone["num_retracted_output_tokens_total"] > 0
    assert target.value(computed[0], **computed[1]) - work > 800
    assert target.value(effective[0], **effective[1]) - came_in <= 800


def test_conformance_native_replies_tell_of_retractions_and_the_reserve_comes_back(target):
    metas = [reply["meta_info"] for reply in crowd(target, NATIVE)]
    assert sum(meta["num_retractions"] for meta in metas) >= 1
    assert {meta["completion_tokens"] for meta in metas} == {300}
    target.chat()
    assert 0 < target.value("new_token_ratio") <= 0.05


def test_conformance_who_ignores_the_end_waits_instead(target):
    """Its whole answer is reserved."""
    before = target.value("num_retracted_requests_total")
    calls = [target.later(CHAT, chat(new("x", 81), max_tokens=1_200)) for _ in range(3)]
    target.until_running(1, 2)
    target.post("/abort_request", {"abort_all": True})
    for call in calls:
        call.result()
    assert target.value("num_retracted_requests_total") == before


def pressure(target, tokens):
    target.chat(new("p", tokens - 19 - 8), session_id=new())


def test_conformance_what_no_session_refers_to_is_evicted_first(target):
    """Oldest first, the live one; it outlives the one that was closed, and the one that has no session."""
    live, closed, none = (new("x", 481) for _ in range(3))
    target.chat(live, session_id="live")
    target.chat(closed, session_id="closed")
    target.chat(none)
    target.post("/close_session", {"session_id": "closed"})
    pressure(target, 1_200)
    assert cached(target.chat(live, session_id="live")) == 499
    target.post("/close_session", {"session_id": "live"})


def test_conformance_without_closing_the_oldest_is_evicted_first(target):
    oldest, newer, newest = (new("x", 481) for _ in range(3))
    for name, text in {"a": oldest, "b": newer, "c": newest}.items():
        target.chat(text, session_id=name)
    pressure(target, 800)
    assert cached(target.chat(newest, session_id="c")) == 499
    assert cached(target.chat(oldest, session_id="a")) < 100
    for name in "abc":
        target.post("/close_session", {"session_id": name})


def test_conformance_closing_frees_nothing(target):
    text = new("x", 481)
    target.chat(text, session_id="s")
    before = target.value("kv_evictable_tokens")
    target.post("/close_session", {"session_id": "s"})
    assert target.value("kv_evictable_tokens") == before
    assert cached(target.chat(text)) == 499


def test_conformance_a_session_that_is_closed_while_it_runs(target):
    """The request ends as it would have, and its tokens are cached for nobody."""
    text = new("x", 481)
    asked = target.later(CHAT, chat(text, session_id="early", max_tokens=400))
    target.until_running(1)
    assert target.post("/close_session", {"session_id": "early"}).status == 200
    assert asked.result().json["choices"][0]["finish_reason"] == "length"
    assert cached(target.chat(text)) == 499


def test_conformance_a_prompt_that_the_pool_cannot_hold(target):
    answer = target.post(CHAT, chat(new("x", 1_980), max_tokens=1))
    assert answer.status == 400
    assert answer.json["message"] == (
        "Input length (1999 tokens) exceeds the maximum allowed length (1994 tokens). "
        "Use a shorter input or enable --allow-auto-truncate."
    )


def test_conformance_an_answer_ends_where_the_pool_does(target):
    reply = target.chat(new("x", 1_481), max_tokens=2_000)
    assert reply["choices"][0]["finish_reason"] == "length"
    assert 480 <= reply["usage"]["completion_tokens"] < 500
