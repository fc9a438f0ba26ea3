"""The shapes of the models that can be simulated, and what follows from a shape: parameters, bytes, operations.

Shapes are those of the public `config.json` files (Qwen/Qwen3-32B, Qwen/Qwen3-8B, meta-llama/Llama-3.1-8B and -70B,
deepseek-ai/DeepSeek-V3). None of them shares its embedding with its output head.
"""

from __future__ import annotations

from dataclasses import dataclass

_BF16 = 2  # bytes; embedding, output head and KV cache are held in it by all models here


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): one compressed key and value for all heads."""

    q_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts in all layers but the first `dense_layers`."""

    routed: int
    active: int  # of the routed, per token
    shared: int
    intermediate: int
    dense_layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One decoder. Counts are of parameters, `hidden` and the like of elements."""

    name: str
    layers: int
    hidden: int
    intermediate: int  # of the dense layers
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    weight_bytes: int = _BF16  # per parameter of the layers
    latent: Latent | None = None
    experts: Experts | None = None

    @property
    def replicated_params(self) -> int:
        """Parameters of all layers that every tensor-parallel rank holds whole: MLA's down-projections."""
        mla = self.latent
        return self.layers * self.hidden * (mla.q_rank + mla.kv_rank + mla.rope_dim) if mla else 0

    @property
    def attention_params(self) -> int:
        """Parameters of all layers' attention that are split over the ranks."""
        mla = self.latent
        if mla is None:
            return self.layers * self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        query = mla.q_rank * self.heads * (mla.nope_dim + mla.rope_dim)
        key_value = mla.kv_rank * self.heads * (mla.nope_dim + mla.value_dim)
        return self.layers * (query + key_value + self.heads * mla.value_dim * self.hidden)

    @property
    def dense_params(self) -> int:
        """Parameters of feed-forward parts that every token passes: dense layers, shared experts, routers."""
        moe = self.experts
        if moe is None:
            return self.layers * 3 * self.hidden * self.intermediate
        always = 3 * self.hidden * moe.intermediate * moe.shared + self.hidden * moe.routed
        return moe.dense_layers * 3 * self.hidden * self.intermediate + (self.layers - moe.dense_layers) * always

    @property
    def routed_params(self) -> int:
        """Parameters of all routed experts."""
        moe = self.experts
        return (self.layers - moe.dense_layers) * 3 * self.hidden * moe.intermediate * moe.routed if moe else 0

    @property
    def head_params(self) -> int:
        """Parameters of the output head; the embedding has as many."""
        return self.vocab * self.hidden

    @property
    def active_params(self) -> float:
        """Parameters that one token is multiplied with, without embedding and output head."""
        always = self.replicated_params + self.attention_params + self.dense_params
        return always + (self.routed_params * self.experts.active / self.experts.routed if self.experts else 0)

    @property
    def ffn_width(self) -> float:
        """Width of the feed-forward part that one token passes, mean over layers."""
        moe = self.experts
        if moe is None:
            return self.intermediate
        sparse = (moe.active + moe.shared) * moe.intermediate
        return (moe.dense_layers * self.intermediate + (self.layers - moe.dense_layers) * sparse) / self.layers

    @property
    def attention_flops_per_pair(self) -> int:
        """Operations per pair of a query token and a key token, over all layers and heads."""
        if self.latent is None:
            return 4 * self.layers * self.heads * self.head_dim
        return 2 * self.layers * self.heads * (self.latent.nope_dim + self.latent.rope_dim + self.latent.value_dim)

    @property
    def kv_bytes_per_token(self) -> int:
        """KV cache of one token, the whole model, each part counted once."""
        if self.latent is None:
            return self.layers * 2 * self.kv_heads * self.head_dim * _BF16
        return self.layers * (self.latent.kv_rank + self.latent.rope_dim) * _BF16

    def kv_bytes_per_rank(self, tp: int) -> float:
        """KV cache of one token on one rank: MLA's is on every rank whole, and no rank holds less than one KV head."""
        return self.kv_bytes_per_token if self.latent else self.kv_bytes_per_token / min(tp, self.kv_heads)

    def can_split(self, tp: int) -> bool:
        """Whether `tp` ranks can share the attention heads evenly."""
        return self.heads % tp == 0 and (self.latent is not None or self.kv_heads % tp == 0 or tp % self.kv_heads == 0)

    def held_bytes(self, tp: int) -> float:
        """Weights on one rank."""
        split = self.attention_params + self.dense_params + self.routed_params
        return self.weight_bytes * (split / tp + self.replicated_params) + 2 * _BF16 * self.head_params / tp

    def always_read_bytes(self, tp: int) -> float:
        """Weights that one rank reads in every iteration: all but embedding and routed experts."""
        split = self.attention_params + self.dense_params
        return self.weight_bytes * (split / tp + self.replicated_params) + _BF16 * self.head_params / tp

    def routed_read_bytes(self, tp: int) -> float:
        """Weights that one rank reads when an iteration's tokens touch every routed expert."""
        return self.weight_bytes * self.routed_params / tp

    def untouched_share(self) -> float:
        """Chance that one token leaves a given routed expert alone, routing taken as even; 0 without experts."""
        return 1 - self.experts.active / self.experts.routed if self.experts else 0.0


_QWEN3_32B = Model(
    name="qwen3-32b", layers=64, hidden=5120, intermediate=25600, heads=64, kv_heads=8, head_dim=128, vocab=151_936
)  # fmt: skip
_QWEN3_8B = Model(
    name="qwen3-8b", layers=36, hidden=4096, intermediate=12288, heads=32, kv_heads=8, head_dim=128, vocab=151_936
)  # fmt: skip
_LLAMA_8B = Model(
    name="llama-3.1-8b", layers=32, hidden=4096, intermediate=14336, heads=32, kv_heads=8, head_dim=128, vocab=128_256
)  # fmt: skip
_LLAMA_70B = Model(
    name="llama-3.1-70b", layers=80, hidden=8192, intermediate=28672, heads=64, kv_heads=8, head_dim=128, vocab=128_256
)  # fmt: skip
_DEEPSEEK_V3 = Model(
    name="deepseek-v3",
    layers=61,
    hidden=7168,
    intermediate=18432,
    heads=128,
    kv_heads=128,
    head_dim=128,
    vocab=129_280,
    weight_bytes=1,  # FP8
    latent=Latent(q_rank=1536, kv_rank=512, rope_dim=64, nope_dim=128, value_dim=128),
    experts=Experts(routed=256, active=8, shared=1, intermediate=2048, dense_layers=3),
)

MODELS = {model.name: model for model in (_QWEN3_32B, _QWEN3_8B, _LLAMA_8B, _LLAMA_70B, _DEEPSEEK_V3)}
