"""`concur engine check` as a user runs it."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest
from chat_server import ChatServer, says, sglang_routes
from forked import concur, simulator


def check(*arguments, code, env=None):
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = concur("engine", "check", *arguments, cwd=Path.cwd(), env=clean | (env or {}))
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def test_a_server_that_gives_everything():
    with simulator() as url:
        told = check(url, code=0).stdout
        data = json.loads(check(url, "--json", code=0).stdout)
    lines = told.splitlines()
    assert lines[0] == url
    assert lines[-1] == "CONCUR can work fully with this server."
    assert max(map(len, lines)) <= 80
    assert "the simulator of concur" in told
    assert "optional  session cache" in told
    assert (data["fully"], data["kind"], data["turns"]["moves"], data["statistics"]) == (
        True,
        "sim",
        True,
        ["/v1/loads", "/metrics"],
    )


def test_what_is_missing_and_the_flags_that_give_it():
    async def main():
        routes = sglang_routes(enable_cache_report=False)
        del routes["/metrics"]
        async with ChatServer(routes=routes) as server:  # its replies count on nothing
            return await asyncio.to_thread(check, server.url, code=1)

    told = asyncio.run(main()).stdout
    assert "-> give the server --enable-metrics" in told
    assert max(map(len, told.splitlines())) <= 80
    assert "CONCUR cannot work fully with this server: resident" in told
    assert told.endswith("\nStart it again with --enable-metrics\n")


def test_a_server_that_is_not_ready():
    async def main():
        async with ChatServer(routes=sglang_routes() | {"/ready": says("", 503)}) as server:
            return await asyncio.to_thread(check, server.url, code=3)

    assert asyncio.run(main()).stdout.endswith("\nThis server takes no requests yet.\n")


@pytest.mark.parametrize("routes", [{}, sglang_routes()])
def test_a_server_that_answers_no_chat_completion(routes):
    async def main():
        async with ChatServer(says('{"error": {"message": "kaboom"}}', 500), routes=routes) as server:
            return await asyncio.to_thread(check, server.url, code=1)

    told = asyncio.run(main()).stdout
    assert "kaboom" in told
    assert " ".join(told.split()).endswith(
        "CONCUR cannot run agents on this server as it is: it lists its models, and a chat completion fails."
    )


def test_what_a_server_says_cannot_move_the_cursor():
    async def main():
        async with ChatServer(says(r'{"error": {"message": "ka\u001b[2Jboom"}}', 500)) as server:
            return await asyncio.to_thread(check, server.url, code=1)

    told = asyncio.run(main()).stdout
    assert r"ka\x1b[2Jboom" in told
    assert "\x1b" not in told


def test_a_key_from_the_environment():
    with simulator("--api-key", "sesame") as url:
        check(url, code=0, env={"SGLANG_API_KEY": "sesame"})
        check(url, "--api-key", "sesame", code=0)
        refused = check(url, code=3)
        told = json.loads(check(url, "--json", code=3).stdout)
    assert refused.stderr.startswith(f"concur: {url}: HTTP 401")
    assert "SGLANG_API_KEY" in refused.stderr
    assert (told["url"], told["reachable"], told["fully"]) == (url, True, False)
    assert "HTTP 401" in told["error"]


def test_a_server_that_is_no_model_server():
    async def main():
        async with ChatServer(routes={"/v1/models": says("", 404)}) as server:
            return await asyncio.to_thread(check, server.url, "--json", code=3)

    told = json.loads(asyncio.run(main()).stdout)
    assert (told["reachable"], told["fully"]) == (True, False)
    assert "not an OpenAI-compatible model server" in told["error"]


def test_nobody_there():
    done = check("http://127.0.0.1:9", code=3)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "Connection refused; see that the server is started there, and that the address is right" in done.stderr
    told = json.loads(check("http://127.0.0.1:9", "--json", "--timeout", "inf", code=3).stdout)
    assert (told["reachable"], told["fully"]) == (False, False)
    assert "cannot be reached" in told["error"]


@pytest.mark.parametrize("url", ["127.0.0.1:30000", "http://me:secret@127.0.0.1:9"])
def test_what_is_no_address(url):
    done = check(url, code=2)
    assert done.stdout == ""
    assert "secret" not in done.stderr
    assert "address" in done.stderr
    done = check(url, "--json", code=2)
    told = json.loads(done.stdout)
    assert (told["url"], told["reachable"], told["fully"], done.stderr) == (None, None, False, "")
    assert "secret" not in done.stdout
    assert "address" in told["error"]


def test_a_server_that_never_answers_is_given_up_in_the_time_that_is_given():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "within 0.2 s" in check(url, "--timeout", "0.2", code=3).stderr
