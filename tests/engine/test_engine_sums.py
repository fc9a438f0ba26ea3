import json

import pytest
from chat_server import captured

from concur_batch.engine.sums import Sums, read_sums

BUSY = json.loads(captured("loads_busy.json"))


def rank(**fields):
    return {**BUSY["loads"][0], **fields}


def test_a_captured_reading():
    sums = read_sums(BUSY)
    moments = BUSY["loads"][0]["decode_moments"]
    assert sums.prefill_tokens == BUSY["loads"][0]["total_prefill_uncached_tokens"]
    assert sums.prefill_s == pytest.approx(BUSY["loads"][0]["total_prefill_busy_us"] / 1e6)
    assert (sums.decode_steps, sums.decode_requests) == (moments[0], moments[1])
    assert sums.decode_s == pytest.approx(moments[2] / 1e6)
    assert 0.005 < sums.decode_s / sums.decode_steps < 0.05  # a step of the tiny model


def test_ranks_add_up_and_null_moments_are_none_yet():
    two = read_sums({"loads": [rank(decode_moments=None, num_running_reqs=0), rank()]})
    one = read_sums(BUSY)
    assert two.decode_steps == one.decode_steps
    assert two.prefill_tokens == 2 * one.prefill_tokens
    assert two.since(one).prefill_tokens == one.prefill_tokens


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"loads": []},
        {"loads": ["?"]},
        {"loads": [{k: v for k, v in rank().items() if k != "decode_moments"}]},
        {"loads": [{k: v for k, v in rank().items() if k != "total_prefill_busy_us"}]},
        {"loads": [rank(decode_moments=[1.0])]},
        {"loads": [rank(decode_moments=["1"] * 6)]},
    ],
)
def test_other_bodies_tell_nothing(body):
    assert read_sums(body) is None


def test_differences():
    zero = Sums(
        running_requests=3,
        prefill_tokens=0,
        prefill_s=0.0,
        decode_steps=0.0,
        decode_requests=0.0,
        decode_s=0.0,
        generated_tokens=0.0,
    )
    assert read_sums(BUSY).since(zero) == read_sums(BUSY)
