"""Fitting over HTTP, to a server that keeps its sums by coefficients known to the test and to nobody else."""

import asyncio
import json
import tomllib

import pytest
from aiohttp import web
from chat_server import ChatServer, captured, hangs, in_turn, says, sglang_routes

from concur_batch.engine.fit import fit
from concur_batch.errors import EngineDown, EngineError, EngineRefused, EngineSilent, InputError
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.profile import profile_from_table, profile_to_toml

TRUE = FittedCost(
    prefill_fixed_s=4e-3,
    prefill_per_token_s=5e-5,
    prefill_per_cached_pair_s=3e-9,
    prefill_per_new_pair_s=3e-9,
    decode_fixed_s=9e-3,
    decode_per_request_s=1e-4,
    decode_per_context_token_s=2e-7,
)
INFO = {"chunked_prefill_size": 2048, "context_length": 16384, "max_total_num_tokens": 40_000, "page_size": 1}


class Server:
    """A token is two characters; every prompt is remembered; a decode step for all that run at each turn of the loop."""

    def __init__(self, others: int = 0) -> None:
        self.prompts: list[str] = []
        self.prefill_tokens, self.prefill_us = 0, 0
        self.moments = [0.0] * 6
        self.others = others  # tokens that somebody else has prefilled beside each request
        self.running: dict[asyncio.Event, list[int]] = {}  # context and tokens to go

    async def loads(self, _: web.Request) -> web.Response:
        told = {
            "num_running_reqs": len(self.running),
            "total_prefill_uncached_tokens": self.prefill_tokens,
            "total_prefill_busy_us": self.prefill_us,
            "decode_moments": self.moments if self.moments[0] else None,
        }
        return web.json_response({"loads": [json.loads(captured("loads_busy.json"))["loads"][0] | told]})

    async def generate(self, http: web.Request) -> web.Response:
        body = await http.json()
        text, output = body["text"], body["sampling_params"]["max_new_tokens"]
        prompt = len(text) // 2
        known = max((len(old) // 2 for old in self.prompts if text.startswith(old)), default=0)
        cached = min(known, prompt - 1)
        self.prompts.append(text)
        self._prefill(prompt - cached, cached)
        if output > 1:
            finished = asyncio.Event()
            self.running[finished] = [prompt, output - 1]
            if len(self.running) == 1:
                self.decoding = asyncio.create_task(self._decode())
            await finished.wait()
        meta = {"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": output}
        return web.json_response({"text": "x", "meta_info": meta})

    def _prefill(self, new: int, past: int) -> None:
        self.prefill_tokens += new + self.others
        while new:
            chunk = min(new, INFO["chunked_prefill_size"])
            self.prefill_us += round(TRUE.prefill_s([(chunk, past)]) * 1e6)
            new, past = new - chunk, past + chunk

    async def _decode(self) -> None:
        while self.running:
            size = len(self.running)
            fixed, slope = TRUE.decode_line(size)
            us = (fixed + slope * sum(context for context, _ in self.running.values())) * 1e6
            sums = (1, size, us, size * size, size * us, size)
            self.moments = [total + value for total, value in zip(self.moments, sums, strict=True)]
            for finished, state in list(self.running.items()):
                state[:] = state[0] + 1, state[1] - 1
                if not state[1]:
                    del self.running[finished]
                    finished.set()
            await asyncio.sleep(0)

    def routes(self, **info):
        return sglang_routes(**(INFO | info)) | {"/v1/loads": self.loads, "/generate": self.generate}


def fitted(server: Server, seconds: float = 0, **info):
    lines: list[str] = []

    async def story():
        async with ChatServer(routes=server.routes(**info)) as http:
            return await fit(http.url, report=lines.append, seconds=seconds)

    return asyncio.run(story()), lines


def test_the_servers_coefficients_are_found():
    profile, lines = fitted(Server())
    for shape in [(100, 0), (2048, 0), (500, 8000)]:
        assert profile.cost.prefill_s([shape]) == pytest.approx(TRUE.prefill_s([shape]), rel=0.02)
    for batch, context in [(1, 100), (16, 20_000), (64, 30_000)]:
        (fixed, slope), (fixed_true, slope_true) = profile.cost.decode_line(batch), TRUE.decode_line(batch)
        assert fixed + slope * context == pytest.approx(fixed_true + slope_true * context, rel=0.05)
    assert (profile.pool_tokens, profile.chunked_prefill_size, profile.context_length) == (40_000, 2048, 16384)
    assert (profile.max_running_requests, profile.max_prefill_tokens, profile.gpu, profile.tp) == (64, 16384, None, 1)
    assert profile_from_table(tomllib.loads(profile_to_toml(profile)), "p.toml") == profile
    assert "SGLang 0.5.23" in lines[0]
    assert [line.split(":")[0] for line in lines[-3:]] == ["pass 1 of 3", "prefill", "decode"]


def test_what_others_had_a_part_in_is_left_out():
    with pytest.raises(EngineError, match=r"too few usable measurements .*\(0 of prefill.*while nobody else uses the engine"):
        fitted(Server(others=1))


def test_prompts_that_are_never_cut():
    profile, _ = fitted(Server(), chunked_prefill_size=-1)
    assert profile.chunked_prefill_size == profile.context_length


def test_a_model_whose_name_steers_terminals_has_a_profile_that_can_be_read():
    server = Server()
    routes = server.routes() | {"/v1/models": says(json.dumps({"data": [{"id": "a\x1b[31mb"}]}))}

    async def story():
        async with ChatServer(routes=routes) as http:
            return await fit(http.url, seconds=0)

    profile = asyncio.run(story())
    assert (profile.name, profile.model) == ("a[31mb", "a[31mb")
    assert profile_from_table(tomllib.loads(profile_to_toml(profile)), "p.toml") == profile


def test_a_server_that_is_busy_now_and_then_is_asked_again():
    server, busy = Server(), says("busy", 503, {"Retry-After": "0"})
    routes = {"/v1/models": says(captured("models.json"))} | server.routes()
    routes |= {path: in_turn(busy, routes[path], busy, routes[path]) for path in ("/generate", "/v1/loads", "/v1/models")}

    async def story():
        async with ChatServer(routes=routes) as http:
            return await fit(http.url, seconds=0)

    assert asyncio.run(story()).cost.prefill_s([(2048, 0)]) == pytest.approx(TRUE.prefill_s([(2048, 0)]), rel=0.05)


def test_one_of_several_ranks():
    profile, lines = fitted(Server(), dp_size=2)
    assert profile.pool_tokens == 40_000  # the server tells that of one rank
    assert "2 data-parallel ranks" in lines[1]


def refusal(routes):
    async def story():
        async with ChatServer(routes=routes) as http:
            await fit(http.url)

    with pytest.raises((EngineError, InputError)) as caught:
        asyncio.run(story())
    return caught.value


def without_sums():
    data = json.loads(captured("loads_busy.json"))
    for load in data["loads"]:
        del load["decode_moments"]
    return says(json.dumps(data))


@pytest.mark.parametrize(
    ("routes", "kind", "told"),
    [
        ({}, InputError, "is not SGLang"),
        (sglang_routes() | {"/v1/loads": says("{}", 404)}, InputError, "SGLang 0.5.23 has them"),
        (sglang_routes() | {"/v1/loads": without_sums()}, InputError, "no running sums of iteration times"),
        (sglang_routes(speculative_algorithm="EAGLE"), InputError, "speculative"),
        (Server().routes() | {"/generate": says('{"message": "no", "code": 400}', 400)}, EngineRefused, "HTTP 400: no"),
        (Server().routes() | {"/generate": says("{}")}, EngineError, "a reply of /generate with its token counts"),
    ],
)
def test_servers_that_cannot_be_fitted(routes, kind, told):
    error = refusal(routes)
    assert isinstance(error, kind)
    assert told in str(error)
    assert "\n" not in str(error)


def test_a_server_that_hangs_when_asked_again_what_it_is(monkeypatch):
    monkeypatch.setattr("concur_batch.engine.fit._PROBE_TIMEOUT_S", 0.2)
    routes = sglang_routes()
    error = refusal(routes | {"/server_info": in_turn(routes["/server_info"], hangs)})
    assert isinstance(error, EngineSilent)
    assert "no answer to /server_info within 0.2 s" in str(error)


def test_nobody_there():
    with pytest.raises(EngineDown, match="cannot be reached"):
        asyncio.run(fit("http://127.0.0.1:9"))
    with pytest.raises(InputError, match="is not an HTTP address"):
        asyncio.run(fit("localhost:30000"))
