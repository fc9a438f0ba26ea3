"""How many tokens SGLang's KV pool holds, and how many requests it lets run, computed as SGLang 0.5.23 does."""

from __future__ import annotations

from concur_batch.sim.gpus import SPLITS, Gpu
from concur_batch.sim.models import Model

CHUNKED_PREFILL_SIZE = 8192  # default on GPUs of 60 to 160 GB (sglang/srt/arg_groups/memory_hook.py:132)
_MIB = 2**20
_GIB = 2**30

# Held by driver, CUDA context and NCCL before weights are loaded. ASSUMED within the usual 1 to 2 GiB.
_CONTEXT_GIB_ALONE = 0.87
_CONTEXT_GIB_SPLIT = 1.6


def graph_max_batch(tp: int) -> int:
    """Largest batch with a CUDA graph of its own (memory_hook.py:146)."""
    return 256 if tp < 4 else 512


def mem_fraction_static(gpu: Gpu, tp: int) -> float:
    """Share of the memory for weights and KV pool (memory_hook.py:281). Graphs are counted at 2 MiB per request, as up to 0.5.8."""
    activations = 512 + 1.5 * CHUNKED_PREFILL_SIZE
    reserved_mib = max(10_240.0, activations + 2 * graph_max_batch(tp) + 1024 * tp / 8)
    return round((gpu.memory_mib - reserved_mib) / gpu.memory_mib, 3)


def pool_tokens(model: Model, gpu: Gpu, tp: int) -> int:
    """Tokens in the pool by SGLang's defaults; 0 or less where the weights leave no room
    (sglang/srt/mem_cache/kv_cache_configurator.py:2990).
    """
    held_bytes = (_CONTEXT_GIB_ALONE if tp == 1 else _CONTEXT_GIB_SPLIT) * _GIB
    before_bytes = gpu.memory_mib * _MIB - held_bytes
    room_bytes = before_bytes * mem_fraction_static(gpu, tp) - model.held_bytes(tp)
    return int(room_bytes // model.kv_bytes_per_rank(tp))


def fits(model: Model, gpu: Gpu, tp: int) -> bool:
    """Whether the heads can be split so and the pool has room for one prefill chunk."""
    return model.can_split(tp) and pool_tokens(model, gpu, tp) >= CHUNKED_PREFILL_SIZE


def fitting_splits(model: Model, gpu: Gpu) -> list[int]:
    """Tensor-parallel sizes that fit, smallest first."""
    return [tp for tp in SPLITS if fits(model, gpu, tp)]


def max_running_requests(pool: int, context_length: int) -> int:
    """SGLang's default (kv_cache_configurator.py:3119): by the pool, between 2,048 and 4,096, two tokens per request at least."""
    return max(1, min(max(int(pool / context_length * 512), 2048), 4096, pool // 2))
