"""What the GPUs can do, and which share of it SGLang's kernels reach, by tensor-parallel size.

Data sheets: NVIDIA H100 SXM and H200 SXM. Shares: fitted to measured kernel tables of SGLang 0.5.9 on H100 and H200 SXM, bf16
(ai-dynamo/aiconfigurator at 095f58a5, `systems/data/{h100,h200}_sxm/{gemm,attention,comm}/sglang/0.5.9/`). Constants that
no table gave are marked EXTRAPOLATED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Split(NamedTuple):
    """One tensor-parallel size: how well its thinner matrices are read, and what an all-reduce of n elements takes."""

    weight_read: float  # share of memory bandwidth reached on weights
    reduce_s: float  # all-reduce: reduce_s + n * reduce_per_element_s
    reduce_per_element_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU. Bytes and operations per second are the data sheet's, dense."""

    name: str
    memory_mib: int  # as nvidia-smi tells it, and SGLang reads it
    bandwidth: float
    bf16_flops: float
    fp8_flops: float
    kv_read: float  # share of bandwidth reached on the KV cache in decode attention
    weight_read_factor: float  # on Split.weight_read, which is the H100's

    def flops(self, weight_bytes: int) -> float:
        """Operations per second at that width of weights."""
        return self.fp8_flops if weight_bytes == 1 else self.bf16_flops


# Of peak operations in matrix products over 512 tokens and more (measured .61 to .78; H200 TP1 at 8 k: .54). FP8: EXTRAPOLATED.
GEMM_SHARE = 0.73
ATTENTION_SHARE = 0.60  # of peak in causal attention over 8 k tokens (.42 at 2 k, .1 to .2 at 512)
ELEMENTWISE_SHARE = 0.8  # of bandwidth in element-wise kernels: AIConfigurator's own estimate of memory operations
LAYER_S = 14e-6  # per layer of a decode step: norms, rope, cache write, activation; fitted to the composed kernels
OVERHEAD_S = 2.5e-3  # per iteration, scheduler and sampling. Fitted to one end-to-end point; 1.5 to 3: the weakest constant

SPLITS = {
    1: Split(0.79, 0.0, 0.0),
    2: Split(0.78, 4.5e-6, 5.98e-12),
    4: Split(0.71, 6e-6, 8.44e-12),
    8: Split(0.60, 9e-6, 7.46e-12),
    # Two nodes of eight. EXTRAPOLATED: reading thinner matrices continues the trend of 2 to 8; the all-reduce is that of
    # eight plus an exchange of one eighth of the elements, 2 bytes each, at 50 GB/s per GPU (NDR InfiniBand), and 21 us for it.
    16: Split(0.50, 30e-6, 12.5e-12),
}

GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu(
            name="h100",
            memory_mib=81_559,
            bandwidth=3.35e12,
            bf16_flops=989e12,
            fp8_flops=1979e12,
            kv_read=0.87,
            weight_read_factor=1.0,
        ),
        Gpu(
            name="h200",
            memory_mib=143_771,
            bandwidth=4.8e12,
            bf16_flops=989e12,
            fp8_flops=1979e12,
            kv_read=0.84,
            weight_read_factor=0.93,
        ),
    )
}
