"""A model server on loopback that does what a test tells it to, good or bad."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from concur_batch.engine.base import Request
from concur_batch.engine.openai import OpenAIEngine

CAPTURES = Path(__file__).parent / "captures"
LATIN = '{"message": "café", "choices": [{"message": {"content": "café"}}]}'.encode("latin-1")  # no UTF-8
DEEP = b'{"choices": [{"message": {"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}"
HTML = "<!doctype html><html><head><title>It works!</title></head><body>Apache</body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def captured(name: str) -> str:
    return (CAPTURES / name).read_text()


def request(step: int = 1, **fields) -> Request:
    given = {"rollout": "t#0", "step": step, "request_id": f"t#0/{step}", "model": "tiny"}
    return Request(**(given | {"messages": [{"role": "user", "content": "Hi"}]} | fields))


def says(what: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """Always this; JSON unless it looks like a page."""
    body = what.encode() if isinstance(what, str) else what

    async def handler(_: web.Request) -> web.StreamResponse:
        kind = "text/html" if body.startswith(b"<") else "application/json"
        return web.Response(body=body, status=status, headers=headers, content_type=kind)

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Each once, the last for ever."""
    left = list(handlers)

    async def handler(http: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(http)

    return handler


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def breaks_off(http: web.Request) -> web.StreamResponse:
    """Sends half of what it promised, then cuts the connection."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(http)
    await response.write(b'{"id": "half')
    http.transport.abort()
    return response


async def packs_nothing(http: web.Request) -> web.StreamResponse:
    """Says that its body is gzip, which it is not."""
    body = captured("chat_warm.json").encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    http.transport.write(head.encode() + body)
    http.transport.close()
    return web.Response()


async def hangs_up(http: web.Request) -> web.StreamResponse:
    """Cuts the connection without a word."""
    http.transport.abort()
    return web.Response()


class ChatServer:
    """`async with ChatServer(chat=..., routes={"/path": handler}) as server:`, then `server.url`.

    `bodies` are the chat requests it got, `told` the bodies of all other POSTs as (path, body), `paths` everything asked.
    """

    def __init__(self, chat: Handler | None = None, routes: dict[str, Handler] | None = None) -> None:
        self.bodies: list[dict] = []
        self.told: list[tuple[str, dict]] = []
        self.paths: list[str] = []
        self.headers: list[CIMultiDict[str]] = []
        self.started = asyncio.Event()  # a chat request has come
        self._routes = {"/v1/models": says(captured("models.json"))} | (routes or {})
        self._routes["/v1/chat/completions"] = chat or says(captured("chat_warm.json"))

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        self.paths.append(http.path_qs)
        if http.method == "POST":
            body = json.loads(await http.read())
            if http.path.endswith("/chat/completions"):
                self.bodies.append(body)
                self.headers.append(http.headers.copy())
                self.started.set()
            else:
                self.told.append((http.path, body))
        handler = self._routes.get(http.path)
        return await handler(http) if handler else web.json_response({"detail": "Not Found"}, status=404)

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_) -> None:
        await self._runner.cleanup()


def sglang_routes(**server_info) -> dict[str, Handler]:
    """The routes of SGLang 0.5.23 as captured, `server_info` changed where asked."""
    info = json.loads(captured("server_info.json")) | server_info
    return {
        "/server_info": says(json.dumps(info)),
        "/ready": says(""),
        "/v1/loads": says(captured("loads_busy.json")),
        "/metrics": says(captured("metrics.txt")),
        "/abort_request": says(""),
        "/close_session": says(""),
    }


def with_engine(server, story, **options):
    """Run `story(engine, server)` against the server; its result."""

    async def main():
        async with server:
            engine = OpenAIEngine(server.url, **options)
            try:
                return await story(engine, server)
            finally:
                await engine.aclose()

    return asyncio.run(main())


def complete(chat, *, routes=None, probe=False, **options):
    """One call against a server that chats like this; the reply and the server."""

    async def story(engine, server):
        if probe:
            await engine.probe()
        return await engine.complete(request()), server

    return with_engine(ChatServer(chat, routes), story, **options)
