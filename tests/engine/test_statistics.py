import json
import math
from dataclasses import asdict

import msgspec
import pytest
from chat_server import HTML, captured
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.engine.base import Capabilities, EngineStats
from concur_batch.engine.statistics import from_get_load, from_loads, from_metrics, from_models, from_server_info, is_server_info

ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2) | st.lists(st.floats(), max_size=2)
MEMORY = ODD | st.fixed_dictionaries({"token_capacity": ODD})


def odd(*names, **others):
    """A dict with these keys, and values as no server should send them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ODD) | others)


def may_be_recorded(told):
    """Whether each field has the very type it says, as reading a record back demands, and a value that can be."""
    assert msgspec.convert(asdict(told), type(told)) == told
    assert all(value >= 0 for value in asdict(told).values() if isinstance(value, (int, float)))
    assert not isinstance(told, EngineStats) or max(told.locked or 0, told.resident or 0) <= 1
    return all(math.isfinite(value) for value in asdict(told).values() if isinstance(value, float))


def loads(name):
    return from_loads(json.loads(captured(name)))


def test_loads_of_a_busy_server():
    assert loads("loads_busy.json") == EngineStats(
        capacity_tokens=20000,
        locked=0.9938,
        running_requests=11,
        queued_requests=37,
        prefill_tokens_total=205673,
        prefill_busy_seconds_total=5.366533,
        epoch=1795199269.2058787,
    )


def test_loads_of_two_ranks_add_up_and_shares_are_those_of_the_fullest():
    data = json.loads(captured("loads_dp2.json"))
    data["loads"][0]["token_usage"], data["loads"][1]["token_usage"] = 0.25, 0.75
    stats = from_loads(data)
    assert (stats.capacity_tokens, stats.locked, stats.prefill_tokens_total) == (40000, 0.75, 80)
    busy_us = [load["total_prefill_busy_us"] for load in data["loads"]]
    assert all(busy_us)
    assert stats.prefill_busy_seconds_total == pytest.approx(sum(busy_us) / 2e6)  # they work side by side
    assert stats.epoch == 1795199305.8967562


def test_loads_of_a_release_that_tells_less():
    stats = from_loads({"loads": [{"dp_rank": 0, "num_running_reqs": 2, "num_waiting_reqs": 1, "token_usage": 0.5}]})
    assert stats == EngineStats(locked=0.5, running_requests=2, queued_requests=1)


def test_get_load_tells_the_share_only_while_nobody_waits():
    load = {"dp_rank": 0, "num_reqs": 5, "num_waiting_reqs": 0, "num_tokens": 5000, "ts_tic": 9.0}
    assert from_get_load([load], 20000) == EngineStats(
        capacity_tokens=20000, locked=0.25, running_requests=5, queued_requests=0, epoch=9.0
    )
    waiting = from_get_load([load | {"num_waiting_reqs": 2}], 20000)
    assert (waiting.locked, waiting.running_requests, waiting.queued_requests) == (None, 3, 2)


def test_metrics_of_a_busy_server():
    assert from_metrics(captured("metrics.txt")) == EngineStats(
        capacity_tokens=20000,
        locked=0.98,
        resident=1 - 344 / 20000,
        running_requests=11,
        queued_requests=34,
        evicted_tokens_total=196145,
        prefill_tokens_total=205674,
    )


def test_metrics_of_two_ranks():
    stats = from_metrics(captured("metrics_dp2.txt"))
    assert (stats.capacity_tokens, stats.prefill_tokens_total, stats.running_requests) == (40000, 81, 0)
    assert stats.resident == pytest.approx(159 / 20000)
    assert stats.evicted_tokens_total == 0  # the counter is not there before the first eviction


def test_metrics_with_priorities_are_not_counted_twice():
    text = captured("metrics_retract.txt").replace('priority="",tp_rank="0"} 0.0', 'priority="",tp_rank="0"} 7.0')
    text = text.replace('priority="0",tp_rank="0"} 0.0', 'priority="0",tp_rank="0"} 7.0')
    assert from_metrics(text).running_requests == 7


def test_metrics_of_tensor_parallel_ranks_are_not_summed():
    lines = [
        f'sglang:evicted_tokens_total{{cache_type="R",dp_rank="{dp}",pp_rank="0",tp_rank="{tp}"}} {100 + dp}.0'
        for dp in (0, 1)
        for tp in (0, 1, 2, 3)
    ]
    assert from_metrics("\n".join(lines)).evicted_tokens_total == 201


def test_metrics_of_0_5_8_have_no_cache_gauges():
    text = (
        'sglang:token_usage{model_name="m",pid="7",tp_rank="0"} 0.5\nsglang:num_running_reqs{model_name="m",tp_rank="0"} 3.0\n'
        'sglang:cache_hit_rate{model_name="m",tp_rank="0"} 0.0\nsglang:num_queue_reqs{model_name="m",tp_rank="0"} NaN\n'
    )
    assert from_metrics(text) == EngineStats(locked=0.5, running_requests=3)


@pytest.mark.parametrize(
    "data", [None, [], {}, {"loads": []}, {"loads": [1]}, {"loads": 5}, "x", 3, [1], {"detail": "Not Found"}]
)
def test_knows_what_are_no_statistics(data):
    assert from_loads(data) is None
    assert from_get_load(data, 1) is None
    assert from_models(data, Capabilities()) is None
    assert not is_server_info(data)


@given(st.text())
def test_metrics_of_anything_else_are_none(text):
    assert from_metrics(text) is None
    assert from_metrics(HTML) is None


def test_metrics_that_break_off_in_a_line_are_none():
    assert from_metrics('sglang:num_running_reqs{model_name="m"} 3.0\nsglang:token_usage{model_na') is None


def test_server_info_becomes_capabilities():
    info = json.loads(captured("server_info.json"))
    can = from_server_info(info, Capabilities())
    assert (can.kind, can.version, can.capacity_tokens, can.context_length) == ("sglang", "0.5.23", 20000, 16384)
    assert (can.cache_report, can.session_close, can.priority, can.abort) == (True, False, False, True)
    flags = {"enable_session_radix_cache": True, "enable_priority_scheduling": True, "enable_cache_report": False}
    more = from_server_info(info | flags | {"dp_size": 2, "context_length": None}, Capabilities())
    assert (more.capacity_tokens, more.context_length) == (40000, None)
    assert (more.cache_report, more.session_close, more.priority) == (False, True, True)
    assert not from_server_info(info | flags | {"schedule_low_priority_values_first": True}, Capabilities()).priority
    assert from_server_info(info | {"concur_simulator": True}, Capabilities()).kind == "sim"


def test_models_become_capabilities():
    can = from_models(json.loads(captured("models.json")), Capabilities())
    assert (can.models, can.context_length) == (("tiny",), 16384)
    assert from_models({"data": [{"id": "gpt"}]}, Capabilities()) == Capabilities(models=("gpt",))


@given(
    st.lists(
        odd(
            "max_total_num_tokens",
            "token_usage",
            "num_running_reqs",
            "num_waiting_reqs",
            "total_prefill_uncached_tokens",
            "total_prefill_busy_us",
            "timestamp",
            memory=MEMORY,
        ),
        min_size=1,
        max_size=2,
    )
)
def test_odd_loads_do_not_reach_the_records(rows):
    told = from_loads({"loads": rows})
    assert told is None or may_be_recorded(told)


@given(odd("num_waiting_reqs", "num_tokens", "ts_tic"), ODD)
def test_odd_old_loads_do_not_reach_the_records(row, requests):
    told = from_get_load([row | {"num_reqs": requests}], 20000)
    assert told is None or may_be_recorded(told)


@given(st.lists(st.tuples(st.sampled_from(["max_total_num_tokens", "token_usage", "num_running_reqs"]), st.floats())))
def test_odd_metrics_do_not_reach_the_records(samples):
    told = from_metrics("\n".join(f'sglang:{name}{{dp_rank="{i}"}} {value}' for i, (name, value) in enumerate(samples)))
    assert told is None or may_be_recorded(told)


@given(
    odd(
        "max_total_num_tokens",
        "version",
        "context_length",
        "dp_size",
        "concur_simulator",
        "concur_speed",
        internal_states=ODD | st.tuples(odd("max_total_num_tokens", memory_usage=MEMORY)).map(list),
    ),
    ODD,
)
def test_odd_capabilities_do_not_reach_the_records(info, length):
    can = from_models({"data": [{"id": "m", "max_model_len": length}]}, from_server_info(info, Capabilities()))
    assert may_be_recorded(can)
    assert can.capacity_tokens is None or can.capacity_tokens > 0
    assert can.context_length is None or can.context_length > 0


def test_numbers_written_as_floats_are_read_as_what_they_are():
    row = {
        "num_running_reqs": 1.0,
        "num_waiting_reqs": 2.6,
        "max_total_num_tokens": 20000.0,
        "total_prefill_uncached_tokens": 7.0,
    }
    stats = from_loads({"loads": [row]})
    assert stats == EngineStats(capacity_tokens=20000, running_requests=1, queued_requests=3, prefill_tokens_total=7)
    can = from_server_info({"max_total_num_tokens": 20000.0, "dp_size": 2.0, "context_length": 131072.0}, Capabilities())
    assert (can.capacity_tokens, can.context_length) == (40000, 131072)


@pytest.mark.parametrize(
    "value", [-5, -0.5, math.inf, -math.inf, math.nan, 10**20, 10**400, True, "7", [7], {}], ids=lambda value: repr(value)[:22]
)
def test_what_is_no_number_counts_as_not_told(value):
    names = ("num_running_reqs", "max_total_num_tokens", "token_usage", "total_prefill_busy_us", "timestamp", "memory")
    assert from_loads({"loads": [dict.fromkeys(names, value) | {"num_waiting_reqs": 3}]}) == EngineStats(queued_requests=3)
    one, other = {"num_running_reqs": value, "token_usage": value}, {"num_running_reqs": 4, "token_usage": 0.5}
    assert from_loads({"loads": [one, other]}) == EngineStats(running_requests=4, locked=0.5)


@pytest.mark.parametrize("value", [1e30, "x", None, -1])
def test_statistics_of_which_nothing_can_be_are_none(value):
    names = ("num_running_reqs", "num_waiting_reqs", "token_usage", "total_prefill_uncached_tokens", "total_prefill_busy_us")
    about = {"max_total_num_tokens": 20000, "timestamp": 9.0}
    assert from_loads({"loads": [dict.fromkeys(names, value) | about]}) is None
    assert from_get_load([{"num_reqs": value, "num_waiting_reqs": value, "num_tokens": value, "ts_tic": 9.0}], 20000) is None


@pytest.mark.parametrize("told", [1, 2, 1e9])
def test_a_share_is_at_most_all(told):
    assert from_loads({"loads": [{"token_usage": told}, {"token_usage": 0.5}]}).locked == 1
    assert from_metrics(f'sglang:token_usage{{dp_rank="0"}} {told}').locked == 1


def test_more_free_tokens_than_there_are_is_an_empty_pool():
    stats = from_metrics("sglang:max_total_num_tokens{} 20000.0\nsglang:kv_available_tokens{} 30000.0")
    assert (stats.capacity_tokens, stats.resident) == (20000, 0)


def test_more_requests_waiting_than_there_are_is_nobody_running():
    assert from_get_load([{"num_reqs": 2, "num_waiting_reqs": 3}], 20000).running_requests == 0


def test_metrics_below_nothing_count_as_not_told():
    names = ("max_total_num_tokens", "token_usage", "kv_available_tokens", "num_running_reqs", "evicted_tokens_total")
    assert from_metrics("\n".join(f"sglang:{name}{{}} -5.0" for name in names)) is None


@pytest.mark.parametrize("value", [0, -1, 0.5, math.inf, 10**20, True, "7", None])
def test_a_length_or_a_pool_that_cannot_be_is_left_out(value):
    info = {"max_total_num_tokens": value, "context_length": value, "dp_size": value}
    assert from_server_info(info, Capabilities(context_length=9)).context_length == 9
    assert from_server_info(info, Capabilities()).capacity_tokens is None
    assert from_server_info(info | {"max_total_num_tokens": 7}, Capabilities()).capacity_tokens == 7
    assert from_models({"data": [{"id": "m", "max_model_len": value}]}, Capabilities()).context_length is None


def test_a_length_is_told_where_all_models_that_tell_one_have_the_same():
    """Else agents on the larger model would end where the smaller one's context does."""

    def of(*lengths):
        rows = [{"id": f"m{i}", "max_model_len": length} for i, length in enumerate(lengths)]
        return from_models({"data": rows}, Capabilities()).context_length

    assert (of(2_000, 100_000), of(2_000, 2_000), of(2_000, None), of()) == (None, 2_000, 2_000, None)


def test_a_version_is_text():
    assert from_server_info({"version": "0.5.20"}, Capabilities()).version == "0.5.20"
    assert from_server_info({"version": 0.5}, Capabilities()).version is None
