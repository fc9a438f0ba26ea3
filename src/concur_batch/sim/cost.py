"""How long one iteration of an engine takes: from a model's shape on a GPU, or from coefficients fitted to an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from concur_batch.sim.gpus import ATTENTION_SHARE, ELEMENTWISE_SHARE, GEMM_SHARE, LAYER_S, OVERHEAD_S, SPLITS, Gpu
from concur_batch.sim.models import Model


class Cost(Protocol):
    """Seconds per iteration. Pure: the same work, the same time."""

    def prefill_s(self, items: Sequence[tuple[int, int]]) -> float:
        """One prefill iteration over requests given as (new tokens, past tokens); at least one."""

    def decode_line(self, batch: int) -> tuple[float, float]:
        """(fixed seconds, seconds per context token): a decode iteration of `batch` requests takes
        fixed + slope * (sum of their contexts in tokens).
        """


def elementwise_s(model: Model, gpu: Gpu, tp: int) -> float:
    """Norms, activations, additions and rope of one token, all layers: bf16 read and written, the hidden state on every rank."""
    elements = 12 * model.hidden + 3 * model.ffn_width / tp
    return model.layers * elements * 2 / (ELEMENTWISE_SHARE * gpu.bandwidth)


@dataclass(frozen=True)
class RooflineCost:
    """Compute or weight reading, whichever is longer, plus attention, all-reduces, element-wise kernels and overhead.

    docs/cost-model.md has the formula. `tp` must be one of SPLITS.
    """

    model: Model
    gpu: Gpu
    tp: int
    _gemm_s: float = field(init=False, repr=False, compare=False)  # per token, all layers
    _head_s: float = field(init=False, repr=False, compare=False)  # per token that is sampled from
    _read_s: float = field(init=False, repr=False, compare=False)  # weights that every iteration reads
    _routed_s: float = field(init=False, repr=False, compare=False)  # all routed experts
    _untouched: float = field(init=False, repr=False, compare=False)
    _pair_s: float = field(init=False, repr=False, compare=False)  # per pair of query and key token
    _token_s: float = field(init=False, repr=False, compare=False)  # all-reduce and element-wise, per token
    _reduce_s: float = field(init=False, repr=False, compare=False)  # all-reduces, per iteration
    _kv_s: float = field(init=False, repr=False, compare=False)  # per context token of a decode step
    _lines: dict[int, tuple[float, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        model, gpu, tp, split = self.model, self.gpu, self.tp, SPLITS[self.tp]
        product = 2 / (tp * gpu.flops(model.weight_bytes) * GEMM_SHARE)
        reading = gpu.bandwidth * split.weight_read * gpu.weight_read_factor
        coefficients = {
            "_gemm_s": product * model.active_params,
            "_head_s": product * model.head_params,
            "_read_s": model.always_read_bytes(tp) / reading,
            "_routed_s": model.routed_read_bytes(tp) / reading,
            "_untouched": model.untouched_share(),
            # Attention computes in bf16 also where weights are FP8.
            "_pair_s": model.attention_flops_per_pair / (tp * gpu.bf16_flops * ATTENTION_SHARE),
            "_token_s": 2 * model.layers * model.hidden * split.reduce_per_element_s + elementwise_s(model, gpu, tp),
            "_reduce_s": 2 * model.layers * split.reduce_s,
            "_kv_s": model.kv_bytes_per_rank(tp) / (gpu.bandwidth * gpu.kv_read),
            "_lines": {},
        }
        for name, value in coefficients.items():
            object.__setattr__(self, name, value)

    def prefill_s(self, items: Sequence[tuple[int, int]]) -> float:
        """Only the last token of a request passes the output head."""
        tokens, pairs = 0, 0.0
        for new, past in items:
            tokens += new
            pairs += new * (past + 0.5 * new)
        compute_s = tokens * self._gemm_s + len(items) * self._head_s
        read_s = self._read_s
        if self._routed_s:
            read_s += self._routed_s * (1 - self._untouched**tokens)
        return max(compute_s, read_s) + pairs * self._pair_s + tokens * self._token_s + self._reduce_s + OVERHEAD_S

    def decode_line(self, batch: int) -> tuple[float, float]:
        """Kept once computed."""
        line = self._lines.get(batch)
        if line is None:
            read_s = self._read_s + self._routed_s * (1 - self._untouched**batch)
            compute_s = batch * (self._gemm_s + self._head_s)
            small_s = self.model.layers * LAYER_S + self._reduce_s + batch * self._token_s
            line = self._lines[batch] = (max(read_s, compute_s) + small_s + OVERHEAD_S, self._kv_s)
        return line


@dataclass(frozen=True, kw_only=True)
class FittedCost:
    """Linear in what an iteration does; seconds, 0 where not given. n new and c past tokens of a request:

    prefill = fixed + per token * sum n + per cached pair * sum n*c + per new pair * sum n*n/2 + per whole square * sum (n+c)^2
    decode = fixed + per request * batch + per context token * sum of contexts

    The whole square is for backends whose attention goes over a cached prefix as if it were new (SGLang's torch_native).
    """

    prefill_fixed_s: float = 0.0
    prefill_per_token_s: float = 0.0
    prefill_per_cached_pair_s: float = 0.0
    prefill_per_new_pair_s: float = 0.0
    prefill_per_whole_square_s: float = 0.0
    decode_fixed_s: float = 0.0
    decode_per_request_s: float = 0.0
    decode_per_context_token_s: float = 0.0

    def prefill_s(self, items: Sequence[tuple[int, int]]) -> float:
        """The sum above."""
        tokens = cached = squares = wholes = 0
        for new, past in items:
            tokens += new
            cached += new * past
            squares += new * new
            wholes += (new + past) ** 2
        return (
            self.prefill_fixed_s
            + tokens * self.prefill_per_token_s
            + cached * self.prefill_per_cached_pair_s
            + squares * self.prefill_per_new_pair_s / 2
            + wholes * self.prefill_per_whole_square_s
        )

    def decode_line(self, batch: int) -> tuple[float, float]:
        """The sum above, without the contexts."""
        return self.decode_fixed_s + batch * self.decode_per_request_s, self.decode_per_context_token_s
