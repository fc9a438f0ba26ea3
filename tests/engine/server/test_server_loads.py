"""/v1/loads and /get_load."""

import asyncio

import pytest
from served import EPOCH, captured, chat, get, post, server, shape

from concur_batch.engine.statistics import from_get_load, from_loads
from concur_batch.engine.sums import read_sums
from concur_batch.virtual import run_virtual


async def busy(app, *urls):
    asked = [asyncio.ensure_future(post(app, "/v1/chat/completions", chat(f"{i}" * 496, max_tokens=300))) for i in range(3)]
    await asyncio.sleep(40)
    answers = [await get(app, url) for url in urls]
    await post(app, "/abort_request", {"abort_all": True})
    await asyncio.gather(*asked)
    return answers


def test_has_the_fields_of_captured_loads():
    (all_parts,) = run_virtual(busy(server(capacity=1_800), "/v1/loads"))
    assert shape(all_parts.json) == shape(captured("loads_busy.json"))
    assert list(all_parts.json["loads"][0]) == list(captured("loads_busy.json")["loads"][0])
    idle = run_virtual(get(server(), "/v1/loads")).json
    assert shape(idle) == shape(captured("loads_idle.json"))


@pytest.mark.parametrize(
    ("include", "sections"),
    [
        ("core", set()),
        ("core,memory,queues", {"memory", "queues"}),
        ("disagg", {"disaggregation"}),
        ("spec,lora", set()),
        ("all", {"memory", "queues", "disaggregation"}),
    ],
)
def test_tells_what_is_to_be_included(include, sections):
    load = run_virtual(get(server(), f"/v1/loads?include={include}")).json["loads"][0]
    core = set(captured("loads_dp2.json")["loads"][0])
    assert set(load) == core | sections


def test_is_the_snapshot_that_was_published_last():
    (answer,) = run_virtual(busy(server(capacity=1_800), "/v1/loads"))
    load = answer.json["loads"][0]
    assert (load["num_running_reqs"], load["num_waiting_reqs"]) == (2, 1)
    assert load["num_total_tokens"] == load["num_used_tokens"] + 500
    assert load["token_usage"] == round(load["num_used_tokens"] / 1_800, 4)
    assert EPOCH + 40 - 15 * 1.1 <= load["timestamp"] <= EPOCH + 40
    assert from_loads(answer.json).capacity_tokens == 1_800
    assert read_sums(answer.json).prefill_tokens == 2 * 500 - 3  # the second has the opening of its template in common


def test_text_has_the_lines_of_the_captured_one():
    answer = run_virtual(get(server(), "/v1/loads?format=prometheus"))

    def names(text):
        return [line.split()[0:3] if line.startswith("#") else line.split()[0] for line in text.splitlines()]

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert names(answer.text) == names(captured("loads_prometheus.txt"))


@pytest.mark.parametrize(("query", "status"), [("dp_rank=x", 400), ("dp_rank=--1", 400), ("dp_rank=0", 200), ("dp_rank=1", 200)])
def test_checks_its_parameters(query, status):
    answer = run_virtual(get(server(), f"/v1/loads?{query}"))
    assert answer.status == status
    assert status == 400 or len(answer.json["loads"]) == (1 if query.endswith("0") else 0)


def test_falls_over_a_part_that_is_not_there_as_sglang_does():
    answer = run_virtual(get(server(), "/v1/loads?include=core,nope"))
    assert (answer.status, answer.text) == (500, "Internal Server Error")


def test_the_old_version_has_get_load_instead():
    new, absent = run_virtual(busy(server(capacity=1_800, version="0.5.8"), "/get_load", "/v1/loads"))
    assert absent.status == 404
    (load,) = new.json
    assert (load["num_reqs"], load["num_waiting_reqs"]) == (3, 1)
    assert from_get_load(new.json, 1_800).running_requests == 2
    assert run_virtual(get(server(), "/get_load")).status == 404
