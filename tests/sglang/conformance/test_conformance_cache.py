"""How many tokens of a prompt are found in the cache."""

from __future__ import annotations

import pytest
from conformance_client import CHAT, NATIVE, TEMPLATE, cached, chat, native, new

FLAVOUR = "plain"
OPENING = 6  # tokens of the chat template before the first word; all prompts share them


def prompt_tokens(reply):
    return reply["usage"]["prompt_tokens"]


def test_conformance_a_cold_prompt_finds_nothing(target):
    reply = target.chat(new("x", 300))
    assert (prompt_tokens(reply), cached(reply)) == (300 + TEMPLATE, 0)


def test_conformance_an_exact_repeat_finds_all_but_the_last_token(target):
    text = new("x", 300)
    replies = [target.chat(text) for _ in range(3)]
    assert [cached(reply) for reply in replies] == [0, 318, 318]


def test_conformance_another_prompt_finds_the_opening_of_the_template(target):
    target.chat("x" * 300)
    assert cached(target.chat("y" * 300)) == OPENING


@pytest.mark.parametrize("stream", [False, True])
def test_conformance_a_turn_more_finds_the_turns_before(target, stream):
    """Up to the last token of the answer, whose KV was never computed."""
    messages, seen = [{"role": "user", "content": new("x", 300)}], 0
    for turn in range(4):
        answer = target.post(CHAT, chat(messages=messages, max_tokens=20, stream=False))
        if stream:  # the same words again, as chunks
            events = target.post(CHAT, chat(messages=messages, max_tokens=20, stream=True)).events
            said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
            assert said == answer.json["choices"][0]["message"]["content"]
        reply = answer.json
        assert turn == 0 or cached(reply) == seen - 1
        seen = reply["usage"]["total_tokens"]
        messages += [reply["choices"][0]["message"], {"role": "user", "content": "And then?"}]


def test_conformance_a_shared_prefix_is_found_up_to_where_the_tails_part(target):
    shared = new("x", 200)
    target.chat(f"{shared}abc")
    assert cached(target.chat(f"{shared}xyz")) == OPENING + 200
    assert cached(target.chat(f"{shared}xy?")) == OPENING + 202
    assert cached(target.chat(shared)) == OPENING + 200


def test_conformance_after_a_flush_nothing_is_found(target):
    text = new("x", 300)
    target.chat(text)
    assert target.post("/flush_cache?timeout=20").status == 200
    assert cached(target.chat(text)) == 0


def test_conformance_a_prompt_longer_than_a_chunk_is_cached_as_others_are(target):
    text = new("x", 9_000)
    first, again = target.chat(text), target.chat(text)
    assert (cached(first), cached(again)) == (0, 9_000 + TEMPLATE - 1)
    assert cached(target.chat(f"{text[:6_000]}?")) == OPENING + 6_000


def test_conformance_eviction_takes_what_was_not_used_for_longest(target):
    texts = [new("x", 3_900) for _ in range(5)]
    for text in texts:
        target.chat(text)
    target.chat(texts[0])  # touched again
    before = target.value("evicted_tokens_total")
    target.chat(new("y", 3_900))  # there is room for five
    assert 3_500 <= target.value("evicted_tokens_total") - before <= 4_000
    assert [cached(target.chat(texts[i])) for i in (0, 2, 3, 4)] == [3_918] * 4
    assert cached(target.chat(texts[1])) < 100


def test_conformance_the_end_of_a_conversation_is_evicted_first(target):
    """A leaf goes as a whole; what stays of the conversation is still found."""
    messages = [{"role": "user", "content": new("x", 6_000)}]
    reply = target.chat(messages=messages, max_tokens=20)
    first = reply["usage"]["total_tokens"]
    messages += [reply["choices"][0]["message"], {"role": "user", "content": "y" * 3_000}]
    target.chat(messages=messages, max_tokens=20)
    target.chat(new("z", 6_000))
    target.chat(new("z", 6_000))  # 21,000 in all
    assert cached(target.chat(messages=messages, max_tokens=20)) == first - 1


@pytest.mark.parametrize("seen", [False, True])
def test_conformance_details_where_they_are_asked_for(target, seen):
    text = new("x", 100)
    if seen:
        target.chat(text)
    reply = target.chat(text, return_cached_tokens_details=True)
    if seen:
        assert reply["sglext"] == {"cached_tokens_details": {"device": 118, "host": 0}}
    else:
        assert "sglext" not in reply


def test_conformance_token_ids_are_cached_as_text_is(target):
    ids = list(range(10, 90))
    first = target.post(NATIVE, {"input_ids": ids, "sampling_params": native()["sampling_params"]}).json
    assert (first["meta_info"]["prompt_tokens"], first["meta_info"]["cached_tokens"]) == (80, 0)
    again = {"input_ids": [*ids, *first["output_ids"], 5], "sampling_params": native()["sampling_params"]}
    assert target.post(NATIVE, again).json["meta_info"]["cached_tokens"] == 87


def test_conformance_the_last_hit_rate_and_the_counters_of_hits(target):
    text = new("x", 81)
    before = {mode: target.value("realtime_tokens_total", mode=mode) for mode in ("prefill_compute", "prefill_cache", "decode")}
    target.chat(text, max_tokens=9)
    target.chat(text, max_tokens=9)
    after = {mode: target.value("realtime_tokens_total", mode=mode) for mode in before}
    assert {mode: after[mode] - before[mode] for mode in before} == {"prefill_compute": 101, "prefill_cache": 99, "decode": 16}
    assert target.value("cache_hit_rate") == 0.99


def test_conformance_tools_and_their_calls_are_part_of_the_prompt(target):
    """Counts agree, up to two line ends that templates put around the list of tools, or do not."""
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "nothing"},
    ]
    assert prompt_tokens(target.chat(messages=messages)) == 175
    offered = [target.chat(messages=messages, tools=[{"type": "function", "function": function}]) for _ in range(2)]
    assert prompt_tokens(offered[0]) in {351, 353}
    assert cached(offered[1]) == prompt_tokens(offered[1]) - 1
