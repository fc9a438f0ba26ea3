"""Which series a server has: name, type and label names, one a line, as in the files of `series/`."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
_GPU = "memory and graphs of a GPU"
_PROCESS = "where the Python processes spend their time"
_START = "how long the parts of a start take"
_RANKS = "attention over data-parallel ranks; there is one rank"
_ROUTING = "routing keys; none are given"

# Names that only the real server has, and why.
NOT_SIMULATED = {
    "cuda_graph_passes_total": _GPU,
    "graph_memory_usage_gb": _GPU,
    "kv_cache_memory_usage_gb": _GPU,
    "weight_memory_usage_gb": _GPU,
    "startup_available_gpu_memory_gb": _GPU,
    "startup_cuda_graph_time_seconds": _START,
    "startup_time_seconds": _START,
    "process_cpu_seconds_total": _PROCESS,
    "scheduler_process_cpu_seconds_total": _PROCESS,
    "scheduler_idle_seconds_total": _PROCESS,
    "scheduler_stage_seconds_total": _PROCESS,
    "per_stage_req_latency_seconds": _PROCESS,
    "eviction_duration_seconds": _PROCESS,
    "get_loads_duration_seconds": _PROCESS,
    "dp_attention_pairs_total": _RANKS,
    "dp_attention_steps_total": _RANKS,
    "dp_attention_sync_wait_seconds": _RANKS,
    "dp_attention_token_imbalance_ratio": _RANKS,
    "dp_attention_tokens_total": _RANKS,
    "routing_key_all_req_count": _ROUTING,
    "routing_key_running_req_count": _ROUTING,
    "routing_keys_active": _ROUTING,
}


def series_of(text: str) -> set[str]:
    """Of a text in Prometheus' format. The names end in `_total` where they are counters."""
    found = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add(f"{name.removeprefix('sglang:')} {family.type} {','.join(sorted(sample.labels.keys() - {'le'}))}".strip())
    return found


def listed(name: str) -> set[str]:
    """Those that a file lists, which both servers must have."""
    return set((HERE / "series" / f"{name}.txt").read_text().splitlines())


def names(series: set[str]) -> set[str]:
    return {line.split()[0] for line in series}
