"""Compares the cost model with published measurements: `python tools/bench/cost_points.py`.

Kernels: decode steps and prefills put together from measured kernel tables (SGLang 0.5.9 on H100 and H200 SXM, bf16;
ai-dynamo/aiconfigurator at 095f58a5, `systems/data/{h100,h200}_sxm/{gemm,attention,comm}/sglang/0.5.9/`, nearest shape, scaled).
They hold matrix products, attention and all-reduces only, so the model is compared without its overhead and its element-wise
part. Engines: whole servers (the same repository, `tools/accuracy_tracking/silicon_refs.csv`), compared with the whole model.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from concur_batch.sim.cost import RooflineCost, elementwise_s
from concur_batch.sim.gpus import GPUS, OVERHEAD_S
from concur_batch.sim.models import MODELS

DECODE_BATCHES = (1, 32, 64, 128, 256)
DECODE_CONTEXT = 4096
PREFILL_LENGTHS = (2048, 8192)
CHUNK = 8192

# (model, GPU, TP): decode milliseconds by batch (None: outside the measured tables), prefill in thousand tokens per second.
KERNELS: dict[tuple[str, str, int], tuple[tuple[float | None, ...], tuple[float, float]]] = {
    ("qwen3-32b", "h100", 1): ((25, 36, 48, None, None), (10.8, 9.6)),
    ("qwen3-32b", "h100", 2): ((13.4, 19.4, 25.9, 37.9, None), (20.5, 17.5)),
    ("qwen3-32b", "h100", 4): ((8.2, 11.8, 14.7, 21.0, None), (33.9, 33.0)),
    ("qwen3-32b", "h100", 8): ((5.4, 8.4, 9.8, 13.1, 20.3), (48, 54)),
    ("qwen3-32b", "h200", 1): ((19.3, 27.2, None, None, None), (10.4, 7.5)),
    ("qwen3-32b", "h200", 2): ((10.6, 15.3, None, 28.5, None), (19.2, 17.2)),
    ("qwen3-32b", "h200", 4): ((6.9, 9.3, None, 16.4, None), (32.2, 28.1)),
    ("qwen3-32b", "h200", 8): ((4.7, 6.9, None, 10.5, None), (47, 54)),
    ("llama-3.1-8b", "h100", 1): ((6.6, 12.1, None, 29.5, None), (51, 44)),
    ("llama-3.1-8b", "h100", 2): ((4.0, 6.9, None, 15.7, None), (81, 74)),
}


class Engine(NamedTuple):
    """A measured server under a closed loop of equal requests."""

    server: str
    model: str
    gpu: str
    tp: int
    prompt: int
    output: int
    concurrency: int
    in_waves: bool  # prefill goes first, so equal requests stay together; else they are spread evenly
    tpot_ms: float


ENGINES = (
    # The overhead per iteration was chosen with this point in view.
    Engine("vLLM 0.12", "qwen3-32b", "h100", 2, 1024, 1024, 32, in_waves=False, tpot_ms=20.06),
    Engine("SGLang 0.5.1", "qwen3-32b", "h100", 2, 1024, 128, 64, in_waves=True, tpot_ms=30.1),
    # DeepSeek-R1 has the shape of V3.
    Engine("SGLang 0.5.9", "deepseek-v3", "h200", 8, 1024, 1024, 16, in_waves=True, tpot_ms=16.63),
)


class Point(NamedTuple):
    """One comparison, in milliseconds."""

    group: str
    what: str
    measured: float
    modelled: float

    @property
    def error(self) -> float:
        """Relative, of the time: below 0 where the model is too fast."""
        return self.modelled / self.measured - 1


def cost_of(model: str, gpu: str, tp: int) -> RooflineCost:
    """The model under test."""
    return RooflineCost(MODELS[model], GPUS[gpu], tp)


def decode_ms(cost: RooflineCost, batch: int, context: float) -> float:
    """One decode step at that mean context."""
    fixed_s, slope_s = cost.decode_line(batch)
    return (fixed_s + slope_s * batch * context) * 1e3


def kernel_points() -> Iterator[Point]:
    """The table above against the model's kernels."""
    for (model, gpu, tp), (decodes, prefills) in KERNELS.items():
        cost = cost_of(model, gpu, tp)
        token_s = elementwise_s(cost.model, cost.gpu, tp)
        name = f"{model}@{gpu}x{tp}"
        for batch, measured in zip(DECODE_BATCHES, decodes, strict=True):
            if measured is not None:
                modelled = decode_ms(cost, batch, DECODE_CONTEXT) - (OVERHEAD_S + batch * token_s) * 1e3
                yield Point("decode kernels", f"{name} batch {batch}, context {DECODE_CONTEXT}", measured, modelled)
        for length, speed in zip(PREFILL_LENGTHS, prefills, strict=True):
            modelled = (cost.prefill_s([(length, 0)]) - OVERHEAD_S - length * token_s) * 1e3
            yield Point(f"prefill kernels, {length}", f"{name} one prompt of {length}", length / speed, modelled)


def engine_points() -> Iterator[Point]:
    """Time per output token: decode steps at the mean context, and the prefills that fall between an answer's tokens."""
    for run in ENGINES:
        cost = cost_of(run.model, run.gpu, run.tp)
        step_ms = decode_ms(cost, run.concurrency, run.prompt + run.output / 2)
        if run.in_waves:
            at_once = CHUNK // run.prompt
            between_ms = cost.prefill_s([(run.prompt, 0)] * at_once) * 1e3 * (run.concurrency / at_once - 1) / 2
        else:
            between_ms = cost.prefill_s([(run.prompt, 0)]) * 1e3 * (run.concurrency - 1)
        what = f"{run.model}@{run.gpu}x{run.tp} {run.server}, {run.prompt}/{run.output}, {run.concurrency} at once"
        yield Point("engines, per output token", what, run.tpot_ms, step_ms + between_ms / (run.output - 1))


def points() -> list[Point]:
    """All comparisons."""
    return [*kernel_points(), *engine_points()]


def main() -> None:
    """Print every point, then medians and worst of each group."""
    rows = points()
    for group in dict.fromkeys(row.group for row in rows):
        print(f"\n{group} (ms)\n{'':58}{'measured':>9}{'model':>9}{'error':>8}")
        of_group = [row for row in rows if row.group == group]
        for row in of_group:
            print(f"{row.what:58}{row.measured:9.2f}{row.modelled:9.2f}{row.error:+8.1%}")
        errors = [abs(row.error) for row in of_group]
        print(f"{'median and worst':58}{statistics.median(errors):18.1%}{max(errors):8.1%}")


if __name__ == "__main__":
    main()
