from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.errors import EngineError
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.fit import DecodePoint, PrefillPoint, fit_cost, least_squares, solve

SHAPES = [(64, 0), (1024, 0), (8192, 0), (64, 1024), (512, 4096), (2048, 8192), (64, 16_384), (512, 30_000)]
BATCHES = [(1, 32), (1, 20_000), (4, 500), (16, 65_000), (64, 3000), (64, 90_000)]
GPU = FittedCost(
    prefill_fixed_s=3e-3,
    prefill_per_token_s=5e-5,
    prefill_per_cached_pair_s=2e-9,
    prefill_per_new_pair_s=2.2e-9,
    decode_fixed_s=12e-3,
    decode_per_request_s=4e-5,
    decode_per_context_token_s=4e-8,
)
CPU = FittedCost(
    prefill_fixed_s=4e-3,
    prefill_per_token_s=8e-6,
    prefill_per_whole_square_s=9e-9,
    decode_fixed_s=5e-3,
    decode_per_request_s=4e-4,
    decode_per_context_token_s=2e-7,
)


def points(cost, noise=0.0):
    random = Random(1)

    def blur():
        return 1 + noise * (2 * random.random() - 1)

    prefills = [PrefillPoint((shape,), cost.prefill_s([shape]) * blur()) for shape in SHAPES]
    two = ((4096, 0), (1000, 4096))
    prefills.append(PrefillPoint(two, sum(cost.prefill_s([item]) for item in two) * blur()))
    lines = [(batch, context, *cost.decode_line(batch)) for batch, context in BATCHES]
    return prefills, [DecodePoint(batch, context, (fixed + slope * context) * blur()) for batch, context, fixed, slope in lines]


def values(cost):
    return [getattr(cost, name) for name in cost.__dataclass_fields__]


@pytest.mark.parametrize("cost", [GPU, CPU])
def test_known_coefficients_are_found_again(cost):
    fit = fit_cost(*points(cost))
    assert values(fit.cost) == pytest.approx(values(cost), rel=1e-6, abs=1e-15)
    assert max(map(abs, (*fit.prefill_errors, *fit.decode_errors))) < 1e-6


@pytest.mark.parametrize("cost", [GPU, CPU])
def test_noise_of_five_percent_leaves_times_within_ten(cost):
    fitted = fit_cost(*points(cost, noise=0.05)).cost
    for shape in [(300, 2000), (4096, 16_384), (1000, 60_000)]:
        assert fitted.prefill_s([shape]) == pytest.approx(cost.prefill_s([shape]), rel=0.1)
    for batch, context in [(8, 8000), (32, 100_000)]:
        (fixed, slope), (fixed_true, slope_true) = fitted.decode_line(batch), cost.decode_line(batch)
        assert fixed + slope * context == pytest.approx(fixed_true + slope_true * context, rel=0.1)


def test_noise_does_not_make_a_gpu_look_like_a_backend_without_a_cache():
    assert fit_cost(*points(GPU, noise=0.1)).cost.prefill_per_whole_square_s == 0
    assert fit_cost(*points(CPU, noise=0.1)).cost.prefill_per_whole_square_s > 0


def test_too_few_points_are_refused():
    prefills, decodes = points(GPU)
    with pytest.raises(EngineError, match="4 of prefill, 6 of decode"):
        fit_cost(prefills[:4], decodes)
    with pytest.raises(EngineError, match="9 of prefill, 2 of decode"):
        fit_cost(prefills, decodes[:2])


@given(
    st.lists(st.lists(st.floats(0, 1e3), min_size=3, max_size=3), min_size=3, max_size=8),
    st.data(),
)
def test_no_coefficient_is_negative_and_no_small_step_improves(rows, data):
    targets = data.draw(st.lists(st.floats(0.1, 10), min_size=len(rows), max_size=len(rows)))

    def squares(x):
        return sum((sum(a * b for a, b in zip(row, x, strict=True)) / t - 1) ** 2 for row, t in zip(rows, targets, strict=True))

    found = least_squares(rows, targets)
    least = squares(found)
    assert min(found) >= 0
    for k in range(3):
        for step in (-1e-3, 1e-3):
            moved = list(found)
            moved[k] = max(0.0, moved[k] * (1 + step) + step * 1e-3)
            assert squares(moved) >= least - 1e-6


def test_equations():
    assert solve([[0.0, 2.0], [1.0, 1.0]], [4.0, 5.0]) == [3.0, 2.0]
    assert solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]) is None
