import asyncio

import pytest
from chat_server import DEEP, HTML, LATIN, ChatServer, captured, hangs, says, sglang_routes

from concur_batch.engine.address import parse_address
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.probe import probe as ask_what_it_is
from concur_batch.engine.transport import Answer, Transport
from concur_batch.errors import EngineError, EngineFailed, EngineRefused, EngineSilent
from concur_batch.virtual import run_virtual


def probe(routes, **options):
    async def main():
        async with ChatServer(routes=routes) as server:
            engine = OpenAIEngine(server.url, probe_timeout_s=options.get("timeout_s", 5.0))
            try:
                return await engine.probe()
            finally:
                await engine.aclose()

    return asyncio.run(main())


def test_sglang_with_all_its_statistics():
    can = probe(sglang_routes())
    assert (can.kind, can.version, can.models, can.context_length) == ("sglang", "0.5.23", ("tiny",), 16384)
    assert (can.capacity_tokens, can.statistics, can.resident, can.abort) == (20000, "loads", True, True)


def test_sglang_without_metrics():
    routes = sglang_routes()
    del routes["/metrics"]
    can = probe(routes)
    assert (can.statistics, can.resident) == ("loads", False)


def test_sglang_without_loads():
    routes = sglang_routes()
    del routes["/v1/loads"]
    assert probe(routes).statistics == "metrics"
    del routes["/metrics"]
    assert probe(routes).statistics == "replies"
    routes["/get_load"] = says('[{"dp_rank": 0, "num_reqs": 1, "num_waiting_reqs": 0, "num_tokens": 7, "ts_tic": 1.0}]')
    assert probe(routes).statistics == "loads"


def test_loads_that_fail_at_first_are_read_later_where_the_old_source_is_open():
    routes = sglang_routes()
    del routes["/metrics"]
    routes["/v1/loads"] = says("busy", status=503)
    routes["/get_load"] = says('[{"dp_rank": 0, "num_reqs": 1, "num_waiting_reqs": 0, "num_tokens": 7, "ts_tic": 1.0}]')
    assert probe(routes).statistics == "loads"


def test_old_sglang_by_the_old_name():
    routes = sglang_routes()
    routes["/get_server_info"] = routes.pop("/server_info")
    assert probe(routes).kind == "sglang"


def test_any_other_server():
    can = probe({})
    assert (can.kind, can.statistics, can.models, can.cache_report, can.abort) == ("openai", "replies", ("tiny",), None, False)


@pytest.mark.parametrize("body", [LATIN, DEEP], ids=["not UTF-8", "too deep"])
def test_an_answer_that_cannot_be_decoded_tells_nothing(body):
    routes = sglang_routes() | {"/v1/loads": says(body)}
    assert probe(routes).statistics == "metrics"
    assert probe({"/server_info": says(body)}).kind == "openai"


def test_numbers_of_another_type_are_not_taken_over():
    routes = sglang_routes(version=0.5, context_length=131072.0, max_total_num_tokens=20000.0, dp_size="2")
    routes["/v1/loads"] = says('{"loads": [{"memory": "much", "num_running_reqs": 1.0}]}')
    can = probe(routes)
    assert (can.version, can.context_length, can.capacity_tokens, can.statistics) == (None, 131072, 20000, "loads")
    assert (type(can.context_length), type(can.capacity_tokens)) == (int, int)


@pytest.mark.parametrize("open_ones", [(), ("/v1/loads",), ("/metrics",)])
def test_sources_of_statistics_that_hang_are_left_alone_and_in_time(open_ones):
    answered = {"/models": captured("models.json"), "/server_info": captured("server_info.json")}
    answered |= {"/v1/loads": captured("loads_busy.json"), "/metrics": captured("metrics.txt")}

    class HalfDeaf(Transport):
        async def ask(self, method, path, body=None, *, api=False):
            path = path.partition("?")[0]
            if path not in ("/models", "/server_info", *open_ones):
                await asyncio.Event().wait()
            return Answer(200, {}, answered[path].encode())

    async def main():
        can = await ask_what_it_is(HalfDeaf(parse_address("http://127.0.0.1:9"), "EMPTY"), "http://x", 10.0)
        return can.statistics, asyncio.get_running_loop().time()

    source, took_s = run_virtual(main())
    assert source == {"/v1/loads": "loads", "/metrics": "metrics"}.get("".join(open_ones), "replies")
    assert took_s < 10  # of which a run's start waits for no more


def test_statistics_that_cannot_be_are_none():
    routes = sglang_routes()
    routes["/v1/loads"] = says(
        '{"loads": [{"token_usage": "x", "num_running_reqs": 1e30, "num_waiting_reqs": null, "timestamp": 1.5}]}'
    )
    assert probe(routes).statistics == "metrics"
    del routes["/metrics"]
    assert probe(routes).statistics == "replies"


@pytest.mark.parametrize(
    ("routes", "kind", "text"),
    [
        ({"/v1/models": says(HTML)}, EngineError, "answers HTTP 200 with an HTML page ('It works!') where a list of models"),
        ({"/v1/models": says(HTML, 404), "/server_info": says(HTML)}, EngineError, "not an OpenAI-compatible"),
        ({"/v1/models": says("", 301, {"Location": "https://x"})}, EngineError, "a redirect to https://x"),
        ({"/v1/models": says('{"detail": "Not Found"}', 404)}, EngineError, "HTTP 404"),
        ({"/v1/models": says('{"error": "Unauthorized"}', 401)}, EngineRefused, "SGLANG_API_KEY"),
        ({"/v1/models": says(HTML, 500)}, EngineFailed, "HTTP 500"),
        ({"/v1/models": says(LATIN)}, EngineError, "answers HTTP 200 with"),
        ({"/v1/models": says(LATIN, 500)}, EngineFailed, "HTTP 500"),
        ({"/v1/models": hangs}, EngineSilent, "no answer to /models within 0.1 s"),
    ],
)
def test_says_what_answered_and_what_was_expected(routes, kind, text):
    with pytest.raises(EngineError) as caught:
        probe(routes, timeout_s=0.1 if routes["/v1/models"] is hangs else 5.0)
    assert type(caught.value) is kind
    assert text in str(caught.value)
