"""What the server tells of itself, and whether it is well."""

from __future__ import annotations

import time

import pytest
from conformance_client import CHAT, chat, shape

FLAVOUR = "plain"
CARD = {
    "id": "tiny",
    "object": "model",
    "owned_by": "sglang",
    "root": "tiny",
    "parent": None,
    "max_model_len": 16_384,
}


def test_conformance_models(target):
    answer = target.get("/v1/models")
    (card,) = answer.json["data"]
    assert (answer.status, answer.headers["content-type"], answer.json["object"]) == (200, "application/json", "list")
    assert abs(card.pop("created") - time.time()) < 60
    assert card == CARD


def test_conformance_one_model(target):
    card = target.get("/v1/models/tiny").json
    card.pop("created")
    assert card == CARD
    absent = target.get("/v1/models/nope")
    error = {"message": "The model 'nope' does not exist", "type": "invalid_request_error"}
    assert (absent.status, absent.json) == (404, {"error": error | {"param": "model", "code": "model_not_found"}})


@pytest.mark.parametrize("path", ["/model_info", "/get_model_info"])
def test_conformance_model_info(target, path):
    info = target.get(path).json
    assert (info["served_model_name"], info["is_generation"], info["weight_version"]) == ("tiny", True, "default")
    assert {"model_path", "tokenizer_path", "preferred_sampling_params", "has_image_understanding"} <= set(info)


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
def test_conformance_server_info(target, path):
    """The fields that the runner reads, and those that say how the server was started."""
    info = target.get(path).json
    assert info["version"] == "0.5.23"
    assert info["status"] == "ready"
    assert {key: info[key] for key in ("max_total_num_tokens", "max_req_input_len", "context_length")} == {
        "max_total_num_tokens": 20_000,
        "max_req_input_len": 16_378,
        "context_length": 16_384,
    }
    assert {key: info[key] for key in ("dp_size", "tp_size", "pp_size", "page_size")} == {
        "dp_size": 1,
        "tp_size": 1,
        "pp_size": 1,
        "page_size": 1,
    }
    expected = {
        "served_model_name": "tiny",
        "max_running_requests": 64,
        "max_total_tokens": 20_000,
        "chunked_prefill_size": 4_096,
        "max_prefill_tokens": 16_384,
        "schedule_policy": "fcfs",
        "schedule_conservativeness": 1.0,
        "radix_eviction_policy": "lru",
        "disable_radix_cache": False,
        "disable_overlap_schedule": True,
        "stream_interval": 1,
        "enable_cache_report": True,
        "enable_metrics": True,
        "enable_priority_scheduling": False,
        "enable_session_radix_cache": False,
        "enable_hierarchical_cache": False,
        "priority_scheduling_preemption_threshold": 10,
        "decode_log_interval": 40,
        "load_snapshot_publish_interval": 15,
        "disaggregation_mode": "null",
        "speculative_algorithm": None,
        "api_key": None,
        "host": "127.0.0.1",
        "port": target.port,
    }
    assert {key: info[key] for key in expected} == expected
    (state,) = info["internal_states"]
    assert state["memory_usage"]["token_capacity"] == 20_000
    assert shape(state["memory_usage"]) == {
        "weight": "number",
        "kvcache": "number",
        "startup_available": "number",
        "token_capacity": "number",
        "token_capacity_swa": "NoneType",
        "graph": dict.fromkeys(("prefill", "decode", "target_verify", "draft_prefill", "draft_decode", "draft_extend"), "number"),
    }
    assert state["effective_max_running_requests_per_dp"] == 64
    assert shape(state["last_gen_throughput"]) == "number"
    assert isinstance(info["launch_command"], str)


def test_conformance_the_last_throughput_is_told(target):
    target.chat(max_tokens=120)
    (state,) = target.get("/server_info").json["internal_states"]
    assert state["last_gen_throughput"] > 0


def test_conformance_ready_is_empty_and_costs_nothing(target):
    before = target.value("realtime_tokens_total")
    answer = target.get("/ready")
    assert (answer.status, answer.text, answer.headers["content-length"]) == (200, "", "0")
    assert target.value("realtime_tokens_total") == before


@pytest.mark.parametrize("path", ["/health", "/health_generate"])
def test_conformance_health_takes_a_second_and_a_token_of_an_idle_engine(target, path):
    before, requests = target.value("realtime_tokens_total"), target.value("num_requests_total")
    began = time.monotonic()
    answer = target.get(path)
    assert (answer.status, answer.text) == (200, "")
    assert time.monotonic() - began > 0.99
    assert target.value("realtime_tokens_total", mode="prefill_compute") > 0
    assert target.value("realtime_tokens_total") == before + 1
    assert target.value("num_requests_total") == requests


def test_conformance_health_of_a_busy_engine_takes_a_second_and_nothing_else(target):
    asked = target.later(CHAT, chat(max_tokens=8_000))
    target.until_running(1)
    before, began = target.value("realtime_tokens_total", mode="prefill_compute"), time.monotonic()
    assert target.get("/health").status == 200
    assert time.monotonic() - began > 0.99
    assert target.value("realtime_tokens_total", mode="prefill_compute") == before
    target.post("/abort_request", {"abort_all": True})
    asked.result()


def test_conformance_a_slash_too_many_leads_to_the_path_without_it(target):
    answer = target.get("/server_info/")
    assert (answer.status, answer.text) == (307, "")
    assert answer.headers["location"] == f"http://127.0.0.1:{target.port}/server_info"
