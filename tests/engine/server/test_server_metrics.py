"""/metrics: the series of a captured text, and values as old as the real ones."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import captured, chat, get, post, server

from concur_batch.engine.server.serve import build
from concur_batch.engine.statistics import from_metrics
from concur_batch.virtual import run_virtual

# docs/simulated-server.md gives the reasons.
LEFT_OUT = (
    "sglang:cuda_graph_passes_total",
    "sglang:dp_attention_",
    "sglang:eviction_duration_seconds",
    "sglang:get_loads_duration_seconds",
    "sglang:graph_memory_usage_gb",
    "sglang:kv_cache_memory_usage_gb",
    "sglang:num_so_requests_total",
    "sglang:per_stage_req_latency_seconds",
    "sglang:process_cpu_seconds_total",
    "sglang:routing_key",
    "sglang:scheduler_",
    "sglang:startup_",
    "sglang:weight_memory_usage_gb",
)


def series(text):
    found = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add(f"{name} {family.type} {','.join(sorted(sample.labels.keys() - {'le'}))}")
    return found


def value(text, name, **labels):
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    (found,) = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    return found


async def load(app):
    """Streams, cache hits, eviction, and a pool that is too small for all replies."""
    bodies = [chat(f"{i % 8}" * 290, max_tokens=60, stream=i % 2 == 0) for i in range(16)]
    await asyncio.gather(*(post(app, "/v1/chat/completions", body) for body in bodies))
    await post(app, "/v1/chat/completions", bodies[-1])
    await post(app, "/abort_request", {"rid": "nobody"})
    return (await get(app, "/metrics")).text


@pytest.mark.parametrize(
    ("options", "capture"), [({}, "metric_series.txt"), ({"priority_scheduling": True}, "metric_series_priority.txt")]
)
def test_has_the_series_of_a_captured_server(options, capture):
    ours = series(run_virtual(load(server(capacity=1_000, schedule_conservativeness=0.05, **options))))
    theirs = {line for line in captured(capture).splitlines() if not line.startswith(LEFT_OUT)}
    first_use = {name for name in ours if "num_retracted_" in name and "_total" in name}
    assert ours - first_use <= theirs
    assert theirs <= ours
    assert "sglang:num_retracted_requests_total" in {name.split()[0] for name in first_use}


def test_counters_and_gauges_begin_with_their_first_use():
    async def story():
        app = server()
        fresh = (await get(app, "/metrics")).text
        await post(app, "/v1/chat/completions", chat(max_tokens=5))
        return fresh, (await get(app, "/metrics")).text

    fresh, used = run_virtual(story())
    assert value(fresh, "sglang:max_total_num_tokens") == 20_000
    assert "token_usage" not in fresh
    assert "realtime" not in fresh
    assert value(used, "sglang:token_usage") == 0
    assert "sglang:evicted_tokens_total" not in used
    assert "sglang:num_retracted_requests_total" not in used
    assert "_created" not in used


def test_gauges_are_as_old_as_the_last_report_and_counters_are_not():
    async def story():
        app = server()
        asyncio.ensure_future(post(app, "/v1/chat/completions", chat("x" * 96, max_tokens=200))).add_done_callback(lambda _: None)
        await asyncio.sleep(1 + 45)  # a prefill batch, and 45 decode steps: the gauges are of the fortieth
        text = (await get(app, "/metrics")).text
        await post(app, "/abort_request", {"abort_all": True})
        await asyncio.sleep(3)
        return text, (await get(app, "/metrics")).text

    text, after = run_virtual(story())
    assert value(text, "sglang:num_used_tokens") == 100 + 40
    assert value(text, "sglang:realtime_tokens_total", mode="decode") == 45
    assert value(text, "sglang:num_running_reqs") == 1
    assert value(text, "sglang:gen_throughput") == pytest.approx(1.0, rel=0.05)
    assert value(after, "sglang:num_aborted_requests_total") == 1
    assert value(after, "sglang:num_requests_total", is_streaming="false") == 1


def test_queues_are_told_by_priority_and_in_all():
    """Under the priority that a request without one gets, too; what was told once is told from then on."""

    async def story():
        app = server(priority_scheduling=True, max_running_requests=1)
        asked = [
            asyncio.ensure_future(post(app, "/v1/chat/completions", chat("x" * 96, max_tokens=60, priority=priority)))
            for priority in (7, 3, 3, None)
        ]
        await asyncio.sleep(45)
        busy = (await get(app, "/metrics")).text
        await asyncio.gather(*asked)
        return busy, (await get(app, "/metrics")).text

    busy, idle = run_virtual(story())
    lowest = "-9223372036854775808"
    told = {"": 3, "3": 2, lowest: 1}
    assert {priority: value(busy, "sglang:num_queue_reqs", priority=priority) for priority in told} == told
    assert {priority: value(busy, "sglang:num_running_reqs", priority=priority) for priority in ("", "7")} == {"": 1, "7": 1}
    assert {value(idle, "sglang:num_running_reqs", priority=priority) for priority in ("", "7", "3", lowest)} == {0}
    assert value(idle, "sglang:num_requests_total", priority="") == 1


def test_histograms_take_a_request_when_it_ends():
    text = run_virtual(load(server(capacity=1_000)))
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_time_per_output_token_seconds"):
        assert value(text, f"sglang:{name}_count", is_streaming="true") == 8
        assert value(text, f"sglang:{name}_count", is_streaming="false") == 9
        assert value(text, f"sglang:{name}_bucket", is_streaming="true", le="+Inf") == 8
    assert value(text, "sglang:generation_tokens_histogram_sum") == 17 * 60
    assert value(text, "sglang:inter_token_latency_seconds_count") == 8 * 59 + 9 * 10  # streamed; told of after 50 tokens
    cached = value(text, "sglang:cached_tokens_total", cache_source="device")
    prompts = value(text, "sglang:prompt_tokens_histogram_sum")
    assert value(text, "sglang:uncached_prompt_tokens_histogram_sum") == prompts - cached


def test_every_rank_tells_of_the_cache_and_our_adapter_counts_it_once():
    text = run_virtual(load(server(capacity=1_000, gpus=4)))
    evicted = {value(text, "sglang:evicted_tokens_total", tp_rank=str(rank)) for rank in range(4)}
    assert len(evicted) == 1
    assert from_metrics(text).evicted_tokens_total == evicted.pop()
    assert from_metrics(text).capacity_tokens == 1_000


def test_the_old_version_has_no_gauges_of_the_pool_and_zeroes_the_hit_rate():
    async def story():
        app = server(version="0.5.8", capacity=2_000)
        await post(app, "/v1/chat/completions", chat("x" * 96, max_tokens=2))
        again = asyncio.ensure_future(post(app, "/v1/chat/completions", chat("x" * 96, max_tokens=60)))
        await asyncio.sleep(5)
        early = (await get(app, "/metrics")).text
        await asyncio.sleep(45)
        late = (await get(app, "/metrics")).text
        await again
        return early, late, (await get(app, "/metrics")).text

    early, late, ended = run_virtual(story())
    assert "kv_" not in early
    assert "prefill_effective" not in early
    assert value(early, "sglang:cache_hit_rate") == pytest.approx(0.99)
    assert value(late, "sglang:cache_hit_rate") == 0
    labels = {line.split()[0]: line.split()[2] for line in series(ended)}
    assert labels["sglang:cached_tokens_total"] == labels["sglang:time_to_first_token_seconds"] == "model_name"


def test_can_be_closed():
    settings = replace(server().state.service.settings, metrics=False)
    assert run_virtual(get(build(settings), "/metrics")).status == 404
