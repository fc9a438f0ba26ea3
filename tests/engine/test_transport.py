import asyncio
import re
import socket
from contextlib import asynccontextmanager

import pytest
from chat_server import ChatServer, request

from concur_batch.engine.address import parse_address, proxy_for
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.errors import EngineBusy, EngineDown, EngineRefused, InputError


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No proxies but a test's own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    return monkeypatch


async def call(url, **options):
    """One call to this engine; its reply."""
    engine = OpenAIEngine(url, **options)
    try:
        return await engine.complete(request())
    finally:
        await engine.aclose()


@asynccontextmanager
async def answering(answer, heads):
    """Answers everything with these bytes, and hangs up. Its port; `heads`: what it was asked."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode())
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def answered(answer, url, monkeypatch=None, variable="http_proxy", user=""):
    """What a call brings where this answers, itself or as the proxy on the way; and what it was asked."""
    heads = []

    async def story():
        async with answering(answer, heads) as port:
            if monkeypatch is not None:
                monkeypatch.setenv(variable, f"http://{user}127.0.0.1:{port}")
            return await call(url.format(port=port))

    try:
        return asyncio.run(story()), heads
    except Exception as error:
        return error, heads


def refusal(status, *headers):
    lines = [
        f"HTTP/1.1 {status}".encode(),
        *headers,
        b"Content-Type: application/json",
        b"Content-Length: 31",
        b"Connection: close",
    ]
    return b"\r\n".join(lines) + b'\r\n\r\n{"error": {"message": "later"}}'


def through(server, url, monkeypatch, **options):
    """One call to `url` with this server as the proxy."""

    async def story():
        async with server:
            monkeypatch.setenv("http_proxy", server.url)
            await call(url, **options)

    asyncio.run(story())
    return server.headers[0]


@pytest.mark.parametrize("header", ["X-Why: 系统繁忙".encode(), "X-Why: überlastet".encode("latin-1")])
def test_headers_beyond_ascii_hide_no_refusal(header):
    error, _ = answered(refusal("429 Later", header, b"Retry-After: 7"), "http://127.0.0.1:{port}")
    assert type(error) is EngineBusy
    assert (str(error).endswith("HTTP 429: later"), error.retry_after) == (True, 7.0)


def test_a_connection_is_probed_while_a_reply_is_awaited():
    async def story():
        async with ChatServer() as server:
            engine = OpenAIEngine(server.url)
            try:
                await engine.complete(request())
                pool = engine._transport._session.connector._conns.values()
                (open_socket,) = [conn[0].transport.get_extra_info("socket") for conns in pool for conn in conns]
                names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
                times = [open_socket.getsockopt(socket.IPPROTO_TCP, getattr(socket, n)) for n in names if hasattr(socket, n)]
                return open_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), times
            finally:
                await engine.aclose()

    is_on, times = asyncio.run(story())
    assert is_on
    assert times in ([60, 15, 4], [15, 4])


@pytest.mark.parametrize("entry", ["machine engine.test", "default"])
def test_netrc_does_not_replace_the_key(entry, environment, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"{entry} login alice password hunter2\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    sent = through(ChatServer(), "http://engine.test:8000", environment, api_key="mine")
    assert sent["Authorization"] == "Bearer mine"
    assert "Proxy-Authorization" not in sent


def test_a_proxy_gets_its_user_and_the_engine_its_key(environment):
    _, heads = answered(refusal("429 Later"), "http://engine.test:8000", environment, user="alice:hunter2@")
    assert heads[0].startswith("POST http://engine.test:8000/v1/chat/completions HTTP/1.1\r\n")
    assert "\r\nProxy-Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n" in heads[0]
    assert "\r\nauthorization: bearer empty\r\n" in heads[0].lower()
    _, heads = answered(refusal("502 Bad"), "https://engine.test", environment, "https_proxy", "alice:hunter2@")
    assert heads[0].startswith("CONNECT engine.test:443 HTTP/1.1\r\n")
    assert "\r\nProxy-Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n" in heads[0]
    assert "\r\nauthorization:" not in heads[0].lower()


def test_no_proxy_holds(environment):
    environment.setenv("http_proxy", "http://127.0.0.1:9")
    environment.setenv("no_proxy", "other.test,engine.invalid")
    with pytest.raises(EngineDown, match=r"^http://engine\.invalid:8000 cannot be reached"):
        asyncio.run(call("http://engine.invalid:8000"))


@pytest.mark.parametrize(
    ("url", "is_exempt"),
    [
        ("http://10.1.2.3:8000", True),
        ("http://11.1.2.3:8000", False),
        ("http://[fd00::7]:8000", True),
        ("http://[fe80::7]:8000", False),
        ("http://node7:8000", False),
    ],
)
def test_no_proxy_may_name_networks(url, is_exempt, environment):
    environment.setenv("http_proxy", "http://127.0.0.1:9")
    environment.setenv("no_proxy", "localhost,10.0.0.0/8, fd00::/8,.cluster.local")
    assert (proxy_for(parse_address(url)) is None) == is_exempt


def test_a_proxy_without_a_scheme_is_one(environment):
    async def story():
        async with ChatServer() as server:
            environment.setenv("http_proxy", server.url.removeprefix("http://"))
            await call("http://engine.test:8000")
        return server.paths

    assert asyncio.run(story()) == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    "proxy", ["socks5://me:secret@127.0.0.1:9", "http://me:secret@10.0.0.256:3128", "http://h:port", "http://"]
)
def test_what_cannot_be_a_proxy_is_refused_with_its_variable(proxy, environment):
    environment.setenv("https_proxy", proxy)
    with pytest.raises(InputError, match=r"^HTTPS_PROXY names .* is no HTTP proxy: give one such as .* in NO_PROXY") as caught:
        OpenAIEngine("https://engine.test")
    assert "secret" not in str(caught.value)
    OpenAIEngine("http://engine.test")
    OpenAIEngine("https://127.0.0.1:1")


@pytest.mark.parametrize(
    ("url", "status", "kind", "text"),
    [
        ("https://engine.test", "407 Who", EngineRefused, r"407 \(Who\): give user and password in HTTPS_PROXY"),
        ("http://engine.test", "407 Who", EngineRefused, r"407 \(Who\): give user and password in HTTP_PROXY"),
        ("https://engine.test", "403 No", EngineRefused, r"403 \(No\): it does not let calls through"),
        ("https://engine.test", "502 Bad", EngineDown, r"502 \(Bad\): it has no connection to there"),
        ("https://engine.test", "503 Bad", EngineDown, r"503 \(Bad\): it has no connection to there"),
    ],
)
def test_a_proxy_that_lets_nothing_through_is_named(url, status, kind, text, environment):
    variable = f"{url.partition(':')[0]}_proxy"
    error, _ = answered(refusal(status), url, environment, variable, "me:secret@")
    assert type(error) is kind
    assert re.match(rf"{url}: its proxy http://127\.0\.0\.1:\d+ answers HTTP {text}", str(error))


def test_a_connection_that_breaks_behind_a_proxy_tells_both(environment):
    error, _ = answered(b"HTTP/1.1 200 OK\r\n\r\n", "https://engine.test", environment, "https_proxy")
    assert type(error) is EngineDown
    assert re.match(r"https://engine\.test \(through the proxy http://127\.0\.0\.1:\d+\) cannot be reached: \w", str(error))


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://proxy.invalid:9"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_away_is_named(scheme, proxy, environment):
    environment.setenv(f"{scheme}_proxy", proxy)
    with pytest.raises(EngineDown, match=rf"^{scheme}://engine\.test: its proxy {re.escape(proxy)} cannot be reached: \w+"):
        asyncio.run(call(f"{scheme}://engine.test"))
