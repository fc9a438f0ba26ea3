"""The scheduler's gauges by SGLang's names, without the prefix."""

from __future__ import annotations

from concur_batch.sim.options import ServerOptions
from concur_batch.sim.readings import Gauges

# What a server without these features shows (sliding windows, state-space layers, speculation, disaggregation, grammars).
_ZERO_OLD = (
    "num_grammar_queue_reqs",
    "swa_token_usage",
    "mamba_usage",
    "spec_accept_length",
    "spec_accept_rate",
    "num_prefill_inflight_queue_reqs",
    "num_decode_prealloc_queue_reqs",
    "num_decode_transfer_queue_reqs",
    "pending_prealloc_token_usage",
    "utilization",
    "is_cuda_graph",
)
_ZERO = (
    *_ZERO_OLD,
    *(f"{kind}_{part}_tokens" for kind in ("swa", "mamba") for part in ("available", "evictable", "used")),
    "spec_cap_length",
    "spec_block_accept_length",
    "spec_num_steps",
    "spec_num_draft_tokens",
    "num_prefill_bootstrap_queue_reqs",
    "num_decode_host_receive_queue_reqs",
    "num_decode_deferred_kv_release_reqs",
    "prealloc_full_token_usage",
    "prealloc_swa_token_usage",
    "num_unique_running_routing_keys",
)


def fixed_gauges(options: ServerOptions) -> dict[str, float]:
    """Written once, at the start."""
    capacity = options.capacity_tokens // options.page_size * options.page_size
    fixed = {"max_total_num_tokens": capacity}
    if options.is_old:
        return dict(fixed)
    return {
        **fixed,
        "page_size": options.page_size,
        "num_pages": capacity // options.page_size,
        "context_len": options.context_length,
    }


def written_gauges(options: ServerOptions, capacity: int, gauges: Gauges) -> dict[str, float]:
    """Written with every report of the scheduler."""
    usage = gauges.used / capacity
    shown = usage if options.is_old else round(usage, 2)
    told: dict[str, float] = {
        "num_running_reqs": gauges.running,
        "num_queue_reqs": gauges.queued,
        "gen_throughput": gauges.gen_throughput,
        "cache_hit_rate": gauges.cache_hit_rate,
        "decode_sum_seq_lens": gauges.sum_seq_lens,
        "token_usage": shown,
        "num_used_tokens": gauges.used,
    }
    if options.is_old:
        return told
    return told | {
        "full_token_usage": usage,
        "kv_available_tokens": gauges.available,
        "kv_evictable_tokens": gauges.evictable,
        "kv_used_tokens": gauges.used,
        "new_token_ratio": gauges.new_token_ratio,
    }


def constant_gauges(options: ServerOptions) -> dict[str, float]:
    """Written with them, always the same."""
    zeros = dict.fromkeys(_ZERO_OLD if options.is_old else _ZERO, 0.0)
    return zeros if options.is_old else zeros | {"fwd_occupancy": float("nan")}
