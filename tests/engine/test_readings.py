import asyncio

import pytest
from chat_server import HTML, ChatServer, captured, hangs, in_turn, says, sglang_routes

from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.readings import Readings
from concur_batch.errors import EngineError, EngineFailed


def read(routes, *times, drop=(), **options):
    """Probe, then read at these times (seconds); the readings and what was asked after the probe."""

    async def main():
        async with ChatServer(routes=routes) as server:
            engine = OpenAIEngine(server.url, **options)
            try:
                can = await engine.probe()
                for path in drop:
                    del server._routes[path]
                del server.paths[:]
                readings = Readings(engine._transport, can, engine.name, 5.0)
                return [await readings.read(now) for now in times], server.paths
            finally:
                await engine.aclose()

    return asyncio.run(main())


def test_loads_every_time_and_metrics_now_and_then():
    (first, second, third), paths = read(sglang_routes(), 0.0, 4.9, 5.0)
    loads = "/v1/loads?include=core,memory,queues"
    assert paths == [loads, "/metrics", loads, loads, "/metrics"]
    assert (first.locked, first.prefill_tokens_total) == (0.9938, 205673)
    assert (first.resident, first.evicted_tokens_total) == (1 - 344 / 20000, 196145)
    assert second == first == third


def test_metrics_that_fail_are_left_out_rather_than_repeated():
    routes = sglang_routes()
    routes["/metrics"] = in_turn(routes["/metrics"], routes["/metrics"], says("", 500))
    (first, second), _ = read(routes, 0.0, 5.0)
    assert (first.resident is None, second.resident, second.evicted_tokens_total) == (False, None, None)
    assert second.locked == 0.9938


def test_metrics_stand_in_for_loads():
    routes = sglang_routes()
    del routes["/v1/loads"]
    (first, second), paths = read(routes, 0.0, 1.0)
    assert paths == ["/metrics"] * 2
    assert (first.locked, first.running_requests, first.capacity_tokens) == (0.98, 11, 20000)
    assert first == second


def test_old_loads_stand_in_for_new_ones():
    routes = sglang_routes()
    del routes["/v1/loads"], routes["/metrics"]
    routes["/get_load"] = says('[{"dp_rank": 0, "num_reqs": 4, "num_waiting_reqs": 0, "num_tokens": 5000, "ts_tic": 1.0}]')
    (first, _), paths = read(routes, 0.0, 1.0)
    assert (first.locked, first.running_requests, first.epoch) == (0.25, 4, 1.0)
    assert paths[-1] == "/get_load"


def test_other_servers_tell_nothing():
    (stats,), paths = read({}, 0.0)
    assert (stats.locked, stats.capacity_tokens, paths) == (None, None, [])


def test_a_reading_that_does_not_come_is_an_error():
    routes = sglang_routes()
    good = says(captured("loads_busy.json"))
    for bad in (says(HTML), says("", 500), says("{}"), says('{"loads": [{"token_usage": "x", "num_running_reqs": null}]}')):
        with pytest.raises(EngineError):
            read(routes | {"/v1/loads": in_turn(good, bad)}, 0.0)


def test_a_reading_has_a_deadline():
    async def main():
        good = says(captured("loads_busy.json"))
        async with ChatServer(routes=sglang_routes() | {"/v1/loads": in_turn(good, hangs)}) as server:
            engine = OpenAIEngine(server.url)
            await engine.probe()
            engine._probe_timeout_s = 0.05
            try:
                with pytest.raises(EngineFailed, match=r"no statistics within 0\.05 s"):
                    await engine.stats()
            finally:
                await engine.aclose()

    asyncio.run(main())
