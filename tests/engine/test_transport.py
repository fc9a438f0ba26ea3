import asyncio
import re
import socket
from contextlib import asynccontextmanager

import pytest
from chat_server import ChatServer, request

from concur_batch.engine.openai import OpenAIEngine
from concur_batch.errors import EngineBusy


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


def answered(answer, url):
    """What a call brings where this answers."""

    async def story():
        async with answering(answer, []) as port:
            return await call(url.format(port=port))

    try:
        return asyncio.run(story())
    except Exception as error:
        return error


def refusal(status, *headers):
    lines = [
        f"HTTP/1.1 {status}".encode(),
        *headers,
        b"Content-Type: application/json",
        b"Content-Length: 31",
        b"Connection: close",
    ]
    return b"\r\n".join(lines) + b'\r\n\r\n{"error": {"message": "later"}}'


@pytest.mark.parametrize("header", ["X-Why: 系统繁忙".encode(), "X-Why: überlastet".encode("latin-1")])
def test_headers_beyond_ascii_hide_no_refusal(header):
    error = answered(refusal("429 Later", header, b"Retry-After: 7"), "http://127.0.0.1:{port}")
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
