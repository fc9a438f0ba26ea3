import pytest

from concur_batch.sim.models import MODELS


@pytest.mark.parametrize(
    ("name", "billions", "kv_bytes"),
    [
        ("qwen3-32b", 32.8, 262_144),  # the cards' own counts: total parameters
        ("qwen3-8b", 8.2, 147_456),
        ("llama-3.1-8b", 8.0, 131_072),
        ("llama-3.1-70b", 70.6, 327_680),
        ("deepseek-v3", 671.0, 70_272),
    ],
)
def test_shapes_add_up_to_the_published_sizes(name, billions, kv_bytes):
    model = MODELS[name]
    layers = model.replicated_params + model.attention_params + model.dense_params + model.routed_params
    assert (layers + 2 * model.head_params) / 1e9 == pytest.approx(billions, rel=0.005)
    assert model.kv_bytes_per_token == kv_bytes


def test_deepseek_activates_what_its_card_says():
    model = MODELS["deepseek-v3"]
    assert (model.active_params + model.head_params) / 1e9 == pytest.approx(36.6, rel=0.005)
    assert model.ffn_width == 18432  # nine experts are as wide as the dense layers


def test_heads_must_be_split_evenly():
    assert [tp for tp in (1, 2, 3, 4, 8, 16, 32, 64) if MODELS["qwen3-8b"].can_split(tp)] == [1, 2, 4, 8, 16, 32]
