"""/v1/loads: fields, parts, ranks, the text form, and when the snapshot is taken."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from conformance_client import CHAT, chat, new, shape

FLAVOUR = "plain"
CORE = {
    "timestamp": "number",
    "dp_rank": "number",
    "num_running_reqs": "number",
    "num_waiting_reqs": "number",
    "num_waiting_uncached_tokens": "number",
    "num_used_tokens": "number",
    "num_total_tokens": "number",
    "num_active_tokens": "number",
    "num_prealloc_ready_tokens": "number",
    "max_total_num_tokens": "number",
    "max_running_requests": "number",
    "token_usage": "number",
    "gen_throughput": "number",
    "cache_hit_rate": "number",
    "utilization": "number",
    "total_prefill_uncached_tokens": "number",
    "total_prefill_busy_us": "number",
    "decode_moments": ["number"],
}
MEMORY = dict.fromkeys(("weight_gb", "kv_cache_gb", "graph_gb", "token_capacity"), "number")
QUEUES = dict.fromkeys(("waiting", "grammar", "paused", "retracted", "prealloc_ready"), "number")
DISAGGREGATION = {
    "mode": "str",
    "prefill_bootstrap_queue_reqs": "number",
    "prefill_inflight_queue_reqs": "number",
    "decode_prealloc_queue_reqs": "number",
    "decode_transfer_queue_reqs": "number",
    "decode_retracted_queue_reqs": "number",
    "kv_transfer_speed_gb_s": "number",
    "kv_transfer_latency_ms": "number",
}
ALL = {"memory": MEMORY, "disaggregation": DISAGGREGATION, "queues": QUEUES}


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("", ALL),
        ("?include=", ALL),
        ("?include=all", ALL),
        ("?include=core", {}),
        ("?include=memory", {"memory": MEMORY}),
        ("?include=queues", {"queues": QUEUES}),
        ("?include=disagg", {"disaggregation": DISAGGREGATION}),
        ("?include=spec,lora", {}),
        ("?include=core,memory,queues", {"memory": MEMORY, "queues": QUEUES}),
        ("?include=core,%20queues", {"queues": QUEUES}),
        ("?format=nothing&include=core", {}),
    ],
)
def test_conformance_the_parts_that_are_asked_for(target, query, parts):
    target.chat(max_tokens=30)  # so that there are moments of decoding
    answer = target.get(f"/v1/loads{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json
    assert {key: shape(value) for key, value in told.items() if key != "loads"} == {
        "timestamp": "str",
        "version": "str",
        "accelerator": "NoneType",
        "num_accelerators": "number",
    }
    (load,) = told["loads"]
    assert shape(load) == CORE | parts
    assert list(load)[: len(CORE)] == list(CORE)
    assert len(load["decode_moments"]) == 6
    assert abs(datetime.fromisoformat(told["timestamp"]) - datetime.now(UTC)).total_seconds() < 60
    assert (told["version"], load["max_total_num_tokens"], load["max_running_requests"]) == ("0.5.23", 20_000, 64)


@pytest.mark.parametrize(("rank", "entries"), [("0", 1), ("1", 0), ("-1", 0)])
def test_conformance_one_rank(target, rank, entries):
    answer = target.get(f"/v1/loads?dp_rank={rank}")
    assert (answer.status, len(answer.json["loads"])) == (200, entries)


def test_conformance_a_rank_must_be_a_number(target):
    answer = target.get("/v1/loads?dp_rank=x")
    assert (answer.status, answer.json["type"]) == (400, "Bad Request")
    assert "dp_rank" in answer.json["message"]


def test_conformance_as_text(target):
    answer = target.get("/v1/loads?format=prometheus")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    numbers = [key for key, kind in CORE.items() if kind == "number" and key != "dp_rank"]
    parts = {"memory": MEMORY, "disagg": DISAGGREGATION, "queues": QUEUES}
    names = [f"sglang_{key}" for key in numbers]
    names += [f"sglang_{part}_{key}" for part, fields in parts.items() for key, kind in fields.items() if kind == "number"]
    lines = answer.text.splitlines()
    assert lines[::2] == [f"# TYPE {name} gauge" for name in names]
    assert [line.split()[0] for line in lines[1::2]] == [f'{name}{{dp_rank="0"}}' for name in names]


def test_conformance_an_idle_server_has_nothing(target):
    target.chat()
    load = target.load()
    assert [load[key] for key in ("num_running_reqs", "num_waiting_reqs", "num_used_tokens", "num_total_tokens")] == [0, 0, 0, 0]
    assert (load["token_usage"], load["num_waiting_uncached_tokens"]) == (0, 0)
    assert time.time() - load["timestamp"] < 60


def test_conformance_what_runs_and_what_waits_is_told(target):
    long = [target.later(CHAT, chat(new("x", 4_981), max_tokens=4_000)) for _ in range(2)]
    target.until_running(2)
    third = target.later(CHAT, chat(new("x", 4_981), max_tokens=4_000))
    target.until_running(2, 1)
    load = target.load()
    assert load["num_used_tokens"] >= 2 * 5_000 - TEMPLATE_SHARED
    assert load["num_total_tokens"] == load["num_used_tokens"] + 5_000
    assert load["num_active_tokens"] == load["num_total_tokens"]
    assert load["token_usage"] == round(load["num_used_tokens"] / 20_000, 4)
    assert 0 < load["num_waiting_uncached_tokens"] <= 5_000
    assert load["queues"]["waiting"] == 1
    target.post("/abort_request", {"abort_all": True})
    assert {one.result().json["choices"][0]["finish_reason"] for one in (*long, third)} == {"abort"}


TEMPLATE_SHARED = 6  # the opening of the chat template, held once


def test_conformance_the_sums_grow_with_the_work(target):
    before = target.load()
    target.chat("s" * 481, max_tokens=40)
    after = target.load()
    assert after["total_prefill_uncached_tokens"] - before["total_prefill_uncached_tokens"] == 500
    assert after["total_prefill_busy_us"] > before["total_prefill_busy_us"]
    steps, tokens = (after["decode_moments"][i] - (before["decode_moments"] or [0] * 6)[i] for i in (0, 5))
    assert steps == tokens == 38  # the first token is the prefill's, and the first decode step after it is left out


def test_conformance_the_snapshot_is_taken_at_every_15th_decode_step(target):
    asked = target.later(CHAT, chat(max_tokens=400))
    target.until_running(1)
    used = set()
    while not asked.done():
        load = target.load()
        if load["num_running_reqs"]:
            used.add(load["num_used_tokens"])
    seen = sorted(used)
    assert {(later - seen[0]) % 15 for later in seen[1:]} <= {0}
    assert len(seen) >= 10
