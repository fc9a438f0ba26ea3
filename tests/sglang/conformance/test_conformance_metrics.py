"""/metrics: which series there are and when they appear, what they count, and when gauges are written."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from conformance_client import CHAT, chat, native, new, until
from conformance_series import NOT_SIMULATED, listed, names, series_of

FLAVOUR = "plain"
PLAIN = {"engine_type": "unified", "model_name": "tiny"}
SCHEDULER = PLAIN | {"moe_ep_rank": "0", "pp_rank": "0", "tp_rank": "0"}
SERVED = ("prompt_tokens_total", "generation_tokens_total", "num_requests_total")


def work(target):
    """Whatever makes a series appear, on this flavour."""
    text = new("x", 1_000)
    for stream in (False, True):
        target.post(CHAT, chat(text, stream=stream, max_tokens=60))
    for _ in range(5):  # more than the pool has room for
        target.chat(new("y", 4_000))
    target.load()
    asked = target.later(CHAT, chat(rid="gone", max_tokens=4_000))
    target.until_running(1)
    target.post("/abort_request", {"rid": "gone"})
    asked.result()


def test_conformance_the_series_of_a_used_server(target):
    work(target)
    answer = target.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = series_of(answer.text)
    only_real = {line for line in found if line.split()[0] in NOT_SIMULATED}
    assert found - only_real == listed("used")
    assert names(only_real) == (set(NOT_SIMULATED) if target.kind == "sglang" else set())


def test_conformance_the_series_of_a_fresh_server(target):
    """Gauges of the scheduler and most counters begin with their first use."""
    found = {line for line in series_of(target.fresh) if line.split()[0] not in NOT_SIMULATED}
    assert found == listed("fresh")


def test_conformance_labels_have_these_values(target):
    work(target)
    labels = {one.name.removeprefix("sglang:"): one.labels for one in target.series()}
    assert labels["token_usage"] == labels["num_running_reqs"] == labels["max_total_num_tokens"] == SCHEDULER
    assert labels["prompt_tokens_total"].items() >= PLAIN.items()
    modes = {one.labels["mode"] for one in target.series("realtime_tokens_total")}
    assert modes == {"prefill_compute", "prefill_cache", "decode"}
    modes = {one.labels["mode"] for one in target.series("prefill_effective_tokens_total")}
    assert modes == {"input", "device_hit", "host_hit", "storage_hit"}
    (evicted,) = target.series("evicted_tokens_total")
    assert evicted.labels == {"cache_type": "UnifiedRadixCache", "dp_rank": "0", "pp_rank": "0", "tp_rank": "0"}
    assert {one.labels["cache_source"] for one in target.series("cached_tokens_total")} == {"device"}
    assert {one.labels["is_streaming"] for one in target.series("num_requests_total")} == {"true", "false"}
    assert labels["num_retracted_reqs"].keys() == SCHEDULER.keys() | {"pid"}


def test_conformance_histograms_have_these_bounds(target):
    """How many, the first, and the last but infinity."""
    target.post(CHAT, chat(stream=True))
    until(lambda: target.value("e2e_request_latency_seconds_count"))
    for name, expected in BOUNDS.items():
        bounds = sorted({float(one.labels["le"]) for one in target.series(f"{name}_bucket")})
        assert (len(bounds), bounds[0], bounds[-2], bounds[-1]) == (*expected, math.inf), name


BOUNDS = {
    "time_to_first_token_seconds": (19, 0.1, 400),
    "e2e_request_latency_seconds": (23, 0.1, 2400),
    "inter_token_latency_seconds": (24, 0.002, 8),
    "request_time_per_output_token_seconds": (24, 0.002, 8),
    "queue_time_seconds": (41, 0, 3000),
    "prompt_tokens_histogram": (36, 100, 1_100_000),
    "uncached_prompt_tokens_histogram": (36, 100, 1_100_000),
    "generation_tokens_histogram": (36, 100, 1_100_000),
}


@pytest.mark.parametrize("stream", [False, True])
def test_conformance_a_request_counts_when_it_ends(target, stream):
    mine = {"is_streaming": str(stream).lower()}
    before = {name: target.value(name, **mine) for name in SERVED}
    first = {
        name: target.value(f"{name}_count", **mine) for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds")
    }
    asked = target.later(CHAT, chat("x" * 81, stream=stream, max_tokens=400))
    target.until_running(1)
    assert {name: target.value(name, **mine) for name in SERVED} == before
    asked.result()
    until(lambda: target.value("num_requests_total", **mine) > before["num_requests_total"])
    after = {name: target.value(name, **mine) for name in SERVED}
    assert {name: after[name] - before[name] for name in SERVED} == dict(zip(SERVED, (100, 400, 1), strict=True))
    for name, count in first.items():
        assert target.value(f"{name}_count", **mine) == count + 1


def test_conformance_cached_tokens_count_when_a_request_ends(target):
    before = target.value("cached_tokens_total")
    text = new("x", 81)
    target.chat(text)
    target.chat(text)
    until(lambda: target.value("cached_tokens_total") == before + 99)


def test_conformance_http_is_counted_by_path_and_status(target):
    labels = {"endpoint": "/v1/models", "method": "GET"}
    before = target.value("http_requests_total", **labels), target.value("http_responses_total", status_code="200", **labels)
    target.get("/v1/models")
    assert target.value("http_requests_total", **labels) == before[0] + 1
    assert target.value("http_responses_total", status_code="200", **labels) == before[1] + 1
    assert target.value("http_requests_active", endpoint="/metrics") == 1


def test_conformance_gauges_of_an_idle_server(target):
    target.chat(new("x", 981), max_tokens=60)
    until(lambda: target.value("num_running_reqs") == 0)
    assert target.value("gen_throughput") == target.value("token_usage") == target.value("num_used_tokens") == 0
    cached = 1_000 + 60 - 1
    assert (target.value("kv_evictable_tokens"), target.value("kv_available_tokens")) == (cached, 20_000 - cached)
    assert target.value("max_total_num_tokens") == 20_000
    assert target.value("page_size") == 1
    assert target.value("context_len") == 16_384


def test_conformance_parts_of_the_pool_add_up(target):
    target.chat(new("x", 2_000))
    asked = target.later(CHAT, chat(new("y", 981), max_tokens=400))
    target.until_running(1)
    sums = []
    while not asked.done():
        parts = {one.name: one.value for one in target.series("kv_") if one.name.endswith("_tokens")}
        sums.append(sum(parts.values()))
        used = parts["sglang:kv_used_tokens"]
        assert used == 0 or 1_000 <= used <= 1_400
    between = [total for total in sums if total != 20_000]  # a server writes its gauges one after the other, while we read
    assert len(between) <= (1 + len(sums) // 10 if target.kind == "sglang" else 0)


def watch(target, asked, *wanted):
    """All different values of these while a request runs, in order."""
    seen = {name: [] for name in wanted}
    while not asked.done():
        told = {
            one.name.removeprefix("sglang:"): one.value for one in target.series() if one.labels.get("mode", "decode") == "decode"
        }
        for name, values in seen.items():
            if name in told and (not values or values[-1] != told[name]):
                values.append(told[name])
    return seen


def test_conformance_gauges_are_written_at_every_40th_decode_step_and_counters_at_every_one(target):
    target.chat(new("o", 20))
    asked = target.later(CHAT, chat("x" * 81, max_tokens=1_600))  # 40 reports, of which a busy machine lets us see some
    target.until_running(1)
    seen = watch(target, asked, "decode_sum_seq_lens", "num_used_tokens", "realtime_tokens_total", "gen_throughput")
    lengths = seen["decode_sum_seq_lens"][1:]  # the first is of a request before
    assert len(lengths) >= 5
    assert {(later - earlier) % 40 for earlier, later in pairwise(lengths)} == {0}
    used = [value for value in seen["num_used_tokens"] if value > 101]
    assert len(used) >= 5
    assert {(later - used[0]) % 40 for later in used} == {0}
    steps = seen["realtime_tokens_total"]
    assert len(steps) > len(lengths)
    assert steps[-1] - steps[0] > 100
    assert {(later - steps[0]) % 40 for later in steps} != {0}
    assert len(seen["gen_throughput"]) >= 2  # an engine at a steady pace writes the same again and again


def test_conformance_gauges_are_written_at_every_prefill_batch(target):
    """Of the running requests, those that ran before the batch came."""
    asked = []
    for others in range(4):
        asked.append(target.later(CHAT, chat(new("x", 181), max_tokens=2_000)))
        target.until_running(others + 1)
        used = target.value("num_used_tokens")
        assert used >= 194 * (others + 1)
    target.post("/abort_request", {"abort_all": True})
    for one in asked:
        one.result()


def test_conformance_a_prefill_batch_counts_those_that_ran_before_it(target):
    """So nobody is seen to run until the next decode report, which may come at once or 40 steps later."""

    def nobody_is_seen() -> bool:
        asked = target.later(CHAT, chat(max_tokens=6_000))
        target.until_running(1)
        seen, runs = target.value("num_running_reqs"), not asked.done()
        target.post("/abort_request", {"abort_all": True})
        asked.result()
        return runs and seen == 0

    until(nobody_is_seen)


def test_conformance_the_hit_rate_is_of_the_last_prefill_batch_and_stays(target):
    text = new("x", 181)
    target.chat(text)
    target.chat(text)
    assert target.value("cache_hit_rate") == 199 / 200
    asked = target.later(CHAT, chat(text, max_tokens=100))  # two decode reports
    assert asked.result().status == 200
    assert target.value("cache_hit_rate") == 199 / 200
    target.chat("anew " * 40)
    assert target.value("cache_hit_rate") == pytest.approx(6 / 219)
    time.sleep(0.5)
    assert target.value("cache_hit_rate") == pytest.approx(6 / 219)


def test_conformance_hits_are_counted_by_where_they_were(target):
    modes = ("input", "device_hit", "host_hit", "storage_hit")
    before = {mode: target.value("prefill_effective_tokens_total", mode=mode) for mode in modes}
    text = new("x", 81)
    for _ in range(3):
        target.post("/generate", native(text))
    after = {mode: target.value("prefill_effective_tokens_total", mode=mode) for mode in modes}
    assert [after[mode] - before[mode] for mode in modes] == [83, 160, 0, 0]


def test_conformance_evicted_tokens_are_counted(target):
    target.chat(new("x", 8_981))
    target.chat(new("y", 8_981))
    before = target.value("evicted_tokens_total")
    target.chat(new("z", 3_981))
    assert target.value("evicted_tokens_total") - before >= 2_000
