"""What the server tells of itself, to us and to others."""

import pytest
from served import captured, chat, get, post, server, shape

from concur_batch.engine.base import Capabilities
from concur_batch.engine.statistics import from_models, from_server_info
from concur_batch.virtual import run_virtual


def told(path, **options):
    return run_virtual(get(server(**options), path)).json


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
def test_server_info_has_the_fields_that_mean_something_here(path):
    info, real = told(path), captured("server_info.json")
    assert set(real) <= set(info)
    state, real_state = info["internal_states"][0], real["internal_states"][0]
    assert set(real_state) <= set(state)
    assert state["memory_usage"]["token_capacity"] == info["max_total_num_tokens"] == 20_000
    assert info["max_req_input_len"] == 16_378


def test_our_adapter_knows_it_for_what_it_is():
    info = told("/server_info", speed=20.0, session_cache=True, priority_scheduling=True, gpus=4)
    can = from_server_info(info, Capabilities())
    assert (can.kind, can.version, can.speed) == ("sim", "0.5.23", 20.0)
    assert (can.capacity_tokens, can.context_length) == (20_000, 16_384)
    assert can.cache_report
    assert can.session_close
    assert can.priority
    assert from_models(told("/v1/models"), can).models == ("tiny",)


def test_the_last_throughput_is_told_also_when_all_is_idle():
    async def story():
        app = server()
        await post(app, "/v1/chat/completions", chat(max_tokens=60))
        return (await get(app, "/server_info")).json["internal_states"][0]["last_gen_throughput"]

    assert run_virtual(story()) == pytest.approx(1.0, rel=0.05)


def test_models():
    assert shape(told("/v1/models")) == shape(captured("models.json"))
    assert told("/v1/models/tiny")["id"] == "tiny"
    assert told("/v1/models/nope")["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/model_info", "/get_model_info"])
def test_model_info(path):
    assert set(captured("model_info.json")) - set(told(path)) == {"embedding"}
