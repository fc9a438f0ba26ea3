import pytest

from concur_batch.sim.gpus import GPUS
from concur_batch.sim.models import MODELS
from concur_batch.sim.pool import fits, fitting_splits, max_running_requests, mem_fraction_static, pool_tokens

# Worked out from SGLang's source by hand, thousand tokens.
POOLS = {
    ("qwen3-32b", "h100"): {1: 19, 2: 281, 4: 800, 8: 1830},
    ("qwen3-32b", "h200"): {1: 268, 2: 778, 4: 1790, 8: 3820},
    ("qwen3-8b", "h100"): {1: 367, 2: 833},
    ("qwen3-8b", "h200"): {1: 810, 2: 1720},
    ("llama-3.1-8b", "h100"): {1: 415, 2: 940},
    ("llama-3.1-8b", "h200"): {1: 913, 2: 1930},
    ("deepseek-v3", "h100"): {16: 344},
    ("deepseek-v3", "h200"): {16: 1270},
}


@pytest.mark.parametrize(("model", "gpu", "tp"), [(*key, tp) for key, row in POOLS.items() for tp in row])
def test_pools_are_those_of_sglang(model, gpu, tp):
    assert pool_tokens(MODELS[model], GPUS[gpu], tp) / 1000 == pytest.approx(POOLS[model, gpu][tp], rel=0.05)


def test_memory_fractions():
    fractions = {gpu: [mem_fraction_static(GPUS[gpu], tp) for tp in (1, 2, 4, 8)] for gpu in GPUS}
    assert fractions == {"h100": [0.835, 0.834, 0.824, 0.818], "h200": [0.907, 0.906, 0.9, 0.897]}


def test_what_does_not_fit():
    assert fitting_splits(MODELS["llama-3.1-70b"], GPUS["h100"]) == [4, 8, 16]
    assert fitting_splits(MODELS["deepseek-v3"], GPUS["h100"]) == [16]
    assert not fits(MODELS["deepseek-v3"], GPUS["h200"], 4)


def test_running_requests_follow_the_pool_within_bounds():
    assert max_running_requests(367_000, 131_072) == 2048
    assert max_running_requests(800_000, 131_072) == 3125
    assert max_running_requests(1_800_000, 131_072) == 4096
    assert max_running_requests(1000, 131_072) == 500
    assert max_running_requests(1, 131_072) == 1
