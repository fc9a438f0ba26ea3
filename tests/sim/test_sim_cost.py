import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.cost import FittedCost, RooflineCost
from concur_batch.sim.gpus import GPUS, SPLITS
from concur_batch.sim.models import MODELS

COSTS = [RooflineCost(MODELS["qwen3-32b"], GPUS["h100"], 4), RooflineCost(MODELS["deepseek-v3"], GPUS["h200"], 8)]
ITEMS = st.lists(st.tuples(st.integers(1, 8192), st.integers(0, 100_000)), min_size=1, max_size=8)


def qwen(tp):
    return RooflineCost(MODELS["qwen3-32b"], GPUS["h100"], tp)


def decode_s(cost, batch, context):
    fixed, slope = cost.decode_line(batch)
    return fixed + slope * batch * context


# The formula with all its parts, worked out by hand for Qwen3-32B on H100: ms per decode step, thousand tokens per second.
@pytest.mark.parametrize(("tp", "decode_ms", "prefill_speed"), [(2, 22.4, 16.8), (4, 14.1, 28.6), (8, 10.3, 46.9)])
def test_the_formula_gives_what_it_gives_by_hand(tp, decode_ms, prefill_speed):
    assert decode_s(qwen(tp), 32, 4096) * 1e3 == pytest.approx(decode_ms, rel=0.005)
    assert 8192 / qwen(tp).prefill_s([(8192, 0)]) / 1e3 == pytest.approx(prefill_speed, rel=0.005)


def test_a_cached_prefix_costs_attention_alone():
    whole, cached = qwen(4).prefill_s([(8192, 0)]), qwen(4).prefill_s([(512, 7680)])
    assert 0.05 < cached / whole < 0.15


@pytest.mark.parametrize("cost", COSTS)
@given(items=ITEMS)
def test_more_work_takes_longer_and_chunks_cost_no_less_than_the_whole(cost, items):
    alone = cost.prefill_s(items)
    assert alone > 0
    (new, past), *others = items
    assert cost.prefill_s([(new + 1, past), *others]) > alone
    assert cost.prefill_s([(new, past + 1), *others]) > alone
    if new > 1:
        half = new // 2
        assert cost.prefill_s([(half, past)]) + cost.prefill_s([(new - half, past + half)]) > cost.prefill_s([(new, past)])


@pytest.mark.parametrize("cost", COSTS)
@given(batch=st.integers(1, 2048))
def test_a_larger_batch_takes_longer_but_less_per_request(cost, batch):
    fixed, slope = cost.decode_line(batch)
    more, same = cost.decode_line(batch + 1)
    assert fixed < more < fixed * (batch + 1) / batch * 1.0001
    assert slope == same > 0


def test_few_tokens_touch_few_experts():
    cost = COSTS[1]
    reading = [cost.decode_line(batch)[0] for batch in (1, 16, 256)]
    assert reading[1] > 2 * reading[0]  # 3 % of the experts, then 40 %
    assert reading[2] < 3 * reading[1]  # then all


def test_latent_kv_is_read_whole_by_every_rank():
    slopes = {tp: RooflineCost(MODELS["deepseek-v3"], GPUS["h200"], tp).decode_line(1)[1] for tp in (8, 16)}
    assert slopes[8] == slopes[16]
    assert qwen(8).decode_line(1)[1] == pytest.approx(qwen(4).decode_line(1)[1] / 2)
    assert qwen(16).decode_line(1)[1] == qwen(8).decode_line(1)[1]  # eight KV heads: from here on they are copied


def test_equal_costs_are_equal_and_every_split_has_its_constants():
    assert qwen(4) == qwen(4) != qwen(2)
    assert hash(qwen(4)) == hash(qwen(4))
    assert all(decode_s(qwen(tp), 1, 0) > decode_s(qwen(2 * tp), 1, 0) for tp in SPLITS if tp < 8)


def test_a_fitted_cost_is_the_sum_its_docstring_gives():
    cost = FittedCost(
        prefill_fixed_s=1,
        prefill_per_token_s=10,
        prefill_per_cached_pair_s=100,
        prefill_per_new_pair_s=1000,
        prefill_per_whole_square_s=10_000,
        decode_fixed_s=2,
        decode_per_request_s=20,
        decode_per_context_token_s=200,
    )
    assert cost.prefill_s([(2, 3), (4, 0)]) == 1 + 10 * 6 + 100 * 6 + 1000 * (4 + 16) / 2 + 10_000 * (25 + 16)
    assert cost.decode_line(5) == (2 + 20 * 5, 200)
