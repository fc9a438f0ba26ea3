import asyncio

import pytest
from chat_server import HTML, ChatServer, captured, hangs, in_turn, says, sglang_routes

from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.readings import Readings
from concur_batch.errors import EngineError, EngineFailed


def read(routes, *times, **options):
    """Probe, then read at these times (seconds); the readings and what was asked after the probe."""

    async def main():
        async with ChatServer(routes=routes) as server:
            engine = OpenAIEngine(server.url, **options)
            try:
                can = await engine.probe()
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


def test_metrics_that_hang_cost_no_loads_and_are_not_asked_each_time(monkeypatch):
    monkeypatch.setattr("concur_batch.engine.readings._METRICS_S", 0.05)
    routes = sglang_routes()
    routes["/metrics"] = in_turn(routes["/metrics"], routes["/metrics"], hangs, routes["/metrics"])
    stats, paths = read(routes, 0.0, 5.0, 10.0, 34.9, 35.0)
    assert [reading.resident is None for reading in stats] == [False, True, True, True, False]
    assert {reading.locked for reading in stats} == {0.9938}
    assert paths.count("/metrics") == 3


def test_metrics_whose_reader_gave_up_do_not_pass_for_new_ones():
    async def main():
        routes = sglang_routes()
        asked = asyncio.Event()

        async def waits(http):
            asked.set()
            return await hangs(http)

        routes["/metrics"] = in_turn(routes["/metrics"], routes["/metrics"], waits)
        async with ChatServer(routes=routes) as server:
            engine = OpenAIEngine(server.url)
            try:
                readings = Readings(engine._transport, await engine.probe(), engine.name, 5.0)
                first = await readings.read(0.0)
                second = asyncio.create_task(readings.read(5.0))
                await asked.wait()
                second.cancel()
                return first.resident, await asyncio.gather(second, return_exceptions=True), await readings.read(5.1)
            finally:
                await engine.aclose()

    resident, (given_up,), third = asyncio.run(main())
    assert resident is not None
    assert isinstance(given_up, asyncio.CancelledError)
    assert third.resident is None


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


def test_loads_that_were_not_there_once_are_asked_for_again():
    routes = sglang_routes()
    del routes["/metrics"]
    loads, old = routes["/v1/loads"], says('[{"dp_rank": 0, "num_reqs": 4, "num_waiting_reqs": 0, "num_tokens": 5000}]')
    routes["/v1/loads"] = in_turn(loads, loads, says("default backend", 404), loads)
    stats, _ = read(routes | {"/get_load": old}, 0.0, 1.0, 2.0)
    assert [reading.locked for reading in stats] == [0.9938, 0.25, 0.9938]
    with pytest.raises(EngineError, match="404"):
        read(routes | {"/v1/loads": in_turn(loads, says("", 404))}, 0.0)


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
