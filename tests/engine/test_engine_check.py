import asyncio
import json

import pytest
from aiohttp import web
from chat_server import ChatServer, captured, hangs, in_turn, says, sglang_routes

from concur_batch.engine.check import gather
from concur_batch.engine.findings import findings, is_full
from concur_batch.errors import EngineDown, EngineError


def common(one, other):
    """Characters of the common prefix."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def caching(*, reports=True, reuses=True, page=1, pretends=False, rewrites=0):
    """A chat with a prefix cache, a character a token. `rewrites`: so many characters at a prompt's end are gone in the next."""
    seen = []

    async def answer(http):
        body = await http.json()
        text = "".join(f"<{m['role']}>{m['content']}" for m in body["messages"])
        cached = max((common(text, known) for known in seen), default=0) if reuses else 0
        cached = len(text) - 1 if pretends else cached // page * page
        seen.append(text[: len(text) - rewrites] if rewrites else text)
        usage = {"prompt_tokens": len(text), "completion_tokens": 1}
        if reports:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        message = {"role": "assistant", "content": "yes"}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    return answer


def check(routes, chat=None, **options):
    async def main():
        async with ChatServer(chat or caching(), routes) as server:
            facts = await gather(server.url, api_key="EMPTY", **options)
            return facts, {finding.name: finding for finding in findings(facts)}, server

    return asyncio.run(main())


def test_sglang_with_everything_that_is_needed():
    facts, found, server = check(sglang_routes())
    assert is_full(list(found.values()))
    assert found["server"].told == "SGLang 0.5.23"
    assert found["model"].told == "tiny; context of 16,384 tokens"
    assert found["KV pool"].told == "20,000 tokens; page of 1 token, 1 rank"
    assert facts.sources == ("/v1/loads", "/metrics")
    assert facts.turns.moves
    assert (facts.turns.first_cached or 0) < 10
    assert facts.turns.second_cached >= facts.turns.first_prompt - 1
    assert {name for name, finding in found.items() if finding.state == "optional"} == {"session cache", "priority"}
    assert not [path for path in server.paths if "health" in path]


def test_a_model_that_is_not_served_is_told_as_run_would():
    _, found, _ = check(sglang_routes(), model="zz")
    assert found["model"].state == "missing"
    assert found["model"].told == "zz is not listed, and `concur run` refuses it; it serves tiny"
    _, found, _ = check(sglang_routes(), model="tiny")
    assert found["model"].state == "ok"


def test_what_is_missing_comes_with_its_flag():
    routes = sglang_routes(enable_cache_report=False)
    del routes["/metrics"]
    _, found, server = check(routes, caching(reports=False))
    assert not is_full(list(found.values()))
    assert {f.name: f.flags for f in found.values() if f.state == "missing"} == {
        "resident": ("--enable-metrics",),
        "cache report": ("--enable-cache-report",),
    }
    assert found["session cache"].flags == ("--enable-session-radix-cache",)
    assert found["priority"].flags == ("--enable-priority-scheduling",)
    assert len(server.bodies) == 2  # what is not told need not be tried again


def test_a_report_that_is_only_said_to_be_on():
    _, found, _ = check(sglang_routes(enable_cache_report=True), caching(reports=False))
    assert found["cache report"].state == "missing"
    assert "measured" not in found


def test_a_bound_under_a_name_that_the_model_does_not_take():
    told = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    answer = caching()

    async def chat(http):
        if "max_tokens" in await http.json():
            return web.json_response({"error": {"message": told, "code": "unsupported_parameter"}}, status=400)
        return await answer(http)

    facts, found, _ = check({}, chat)
    assert (facts.turns_failed, found["measured"].state) == ("", "ok")


def test_no_statistics_at_all():
    routes = sglang_routes()
    del routes["/metrics"], routes["/v1/loads"]
    _, found, _ = check(routes)
    assert found["statistics"].state == "missing"
    assert "/v1/loads nor /metrics" in found["statistics"].told


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (says("<html>hello</html>\nsglang:token_usage{} NaN\nfoo bar baz"), "/metrics cannot be read: it answers an HTML page"),
        (says("sglang:token_usage{} many"), "/metrics cannot be read: it answers 'sglang:token_usage{} many'"),
        (says("oops", 500), "/metrics cannot be read: it answers HTTP 500"),
    ],
)
@pytest.mark.parametrize("loads", [None, says('{"loads": "what", "x": [1,2'), says("oops", 500)])
def test_statistics_that_cannot_be_read_are_told_with_what_came(metrics, told, loads):
    _, found, _ = check(sglang_routes() | {"/metrics": metrics} | ({"/v1/loads": loads} if loads else {}))
    assert (found["resident"].state, found["resident"].told, found["resident"].flags) == ("missing", told, ())
    if loads is None:
        assert found["statistics"].told == "the locked share of the pool, from /v1/loads"
    else:
        assert found["statistics"].state == "missing"
        assert found["statistics"].told.startswith("/v1/loads cannot be read: it answers ")
        assert found["statistics"].told.endswith(told)


def busy(status=503):
    return says('{"error": {"message": "overloaded"}}', status, {"Retry-After": "0"})


def test_a_server_that_is_busy_is_asked_again():
    chat = caching()
    models = in_turn(busy(), busy(429), says(captured("models.json")))
    _, found, _ = check(sglang_routes() | {"/v1/models": models}, in_turn(busy(), busy(429), chat, busy(), chat))
    assert is_full(list(found.values()))


def test_a_server_that_stays_busy_is_told_so():
    _, found, server = check(sglang_routes(), busy())
    assert "the request failed: " in found["measured"].told
    assert "HTTP 503: overloaded" in found["measured"].told
    assert len(server.bodies) == 5
    later = says("", 503, {"Retry-After": "100"})
    assert len(check(sglang_routes(), later)[2].bodies) == 1  # there is no time to wait for that


def test_helps_that_are_on():
    _, found, _ = check(sglang_routes(enable_session_radix_cache=True, enable_priority_scheduling=True, tool_call_parser="qwen"))
    assert [found[name].state for name in ("session cache", "priority", "tool calls")] == ["ok"] * 3


def test_priorities_the_other_way_round():
    routes = sglang_routes(enable_priority_scheduling=True, schedule_low_priority_values_first=True)
    _, found, _ = check(routes)
    assert found["priority"].state == "optional"
    assert "without --schedule-low-priority-values-first" in found["priority"].mend


def test_without_a_radix_cache_there_is_nothing_to_control():
    _, found, _ = check(sglang_routes(disable_radix_cache=True), caching(reuses=False))
    assert found["radix cache"].state == "missing"
    assert "without --disable-radix-cache" in found["radix cache"].mend
    assert found["measured"].state == "missing"


@pytest.mark.parametrize("page", [1, 16, 64, 256])
def test_pages_of_any_size(page):
    facts, found, _ = check(sglang_routes(page_size=page), caching(page=page))
    assert found["measured"].state == "ok", found["measured"].told
    assert facts.page_size == page


def test_a_template_that_ends_prompts_otherwise():
    assert check(sglang_routes(), caching(rewrites=20))[1]["measured"].state == "ok"


def test_a_count_that_stands_still():
    _, found, server = check(sglang_routes(), caching(reuses=False))
    assert found["cache report"].state == "ok"
    assert found["measured"].state == "missing"
    assert "one turn more: 0 of" in found["measured"].told
    assert len(server.bodies) == 4  # tried again: others might have had it evicted


def test_a_count_that_cannot_be_true():
    assert "no cache can know" in check(sglang_routes(), caching(pretends=True))[1]["measured"].told


def test_turns_on_different_ranks():
    _, found, _ = check(sglang_routes(dp_size=2), caching(reuses=False))
    assert "start 2 servers" in found["measured"].mend
    assert found["KV pool"].told.endswith("2 data-parallel ranks")


def test_every_conversation_is_new():
    texts = {check(sglang_routes())[2].bodies[0]["messages"][0]["content"] for _ in range(3)}
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("version", "state"), [("0.5.8", "ok"), ("0.5.7.post1", "note"), ("0.4.10", "note"), ("0.6.0rc1", "ok"), ("0.0.0.dev1", "ok")]
)
def test_releases(version, state):
    assert check(sglang_routes(version=version))[1]["server"].state == state


def test_old_sglang_by_its_old_names():
    routes = sglang_routes(version="0.5.8")
    routes["/get_server_info"] = routes.pop("/server_info")
    del routes["/v1/loads"]
    routes["/get_load"] = says('[{"dp_rank": 0, "num_reqs": 0, "num_waiting_reqs": 0, "num_tokens": 7, "ts_tic": 1.0}]')
    facts, found, _ = check(routes)
    assert facts.sources == ("/metrics",)
    assert found["statistics"].state == "ok"
    del routes["/metrics"]
    facts, found, _ = check(routes)
    assert facts.sources == ("/get_load",)
    assert found["statistics"].state == "ok"


def test_metrics_without_the_gauges_of_newer_releases():
    routes = sglang_routes() | {"/metrics": says('sglang:token_usage{model_name="tiny"} 0.5\n')}
    assert check(routes)[1]["resident"].mend == "update to SGLang 0.5.17 or later"


def test_a_server_that_is_not_sglang():
    _, found, _ = check({}, caching(page=128))
    assert "not SGLang" in found["server"].told
    assert found["statistics"].state == "missing"
    assert found["cache report"].state == found["measured"].state == "ok"
    _, found, _ = check({}, caching(reports=False))
    assert found["cache report"].flags == ("--enable-prompt-tokens-details",)


def test_not_ready_is_not_measured():
    facts, found, server = check(sglang_routes() | {"/ready": says("", 503)})
    assert not facts.ready
    assert found["reachable"].state == "missing"
    assert server.bodies == []


def test_a_refused_request_is_a_finding():
    _, found, _ = check(sglang_routes(), says('{"message": "no such model"}', 404))
    assert found["measured"].state == "missing"
    assert "no such model" in found["measured"].told


def test_a_request_that_hangs_is_given_up():
    _, found, _ = check(sglang_routes(), hangs, request_timeout_s=0.1)
    assert "no reply within 0.1 s" in found["measured"].told


def test_nobody_there_and_no_model_server():
    with pytest.raises(EngineDown, match="cannot be reached"):
        asyncio.run(gather("http://127.0.0.1:9", api_key="EMPTY"))
    with pytest.raises(EngineError, match="not an OpenAI-compatible"):
        check({"/v1/models": says("<html></html>")})


def test_strange_server_info_is_no_traceback():
    info = json.loads(captured("server_info.json")) | {"page_size": None, "version": 5, "tool_call_parser": 3}
    del info["dp_size"]
    assert check(sglang_routes() | {"/server_info": says(json.dumps(info))})[1]["KV pool"].state == "ok"
