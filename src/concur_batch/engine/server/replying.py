"""Replies on the wire: JSON, server-sent events, and the end of both when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"


class Gone(Exception):
    """The client has closed its connection: nobody waits for an answer."""


def as_json(content: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(_encode(content), status, media_type="application/json")


def event(content: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + _encode(content) + b"\n\n"


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; it is cancelled, and Gone raised, when the client goes away first. The body must have been read.

    SGLang looks every 4 seconds whether the client of a reply that is not streamed is still there; here it is noticed at once.
    """
    return await _first(asyncio.ensure_future(work), request.receive)


async def refusal(error: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    """The events of a stream that tells of an error and nothing else."""
    yield event({"error": error})
    yield DONE


class EventStream(Response):
    """Server-sent events, made from a source that is closed when the client goes away, at whatever point."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], source: AsyncGenerator[int, None] | None = None) -> None:
        self._events = events
        self._source = source
        self.status_code = 200
        self.background = None
        self.init_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Answer."""
        async with aclosing(self._source or self._events), aclosing(self._events):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with suppress(Gone):  # nobody to tell
                await _first(asyncio.ensure_future(self._send_all(send)), receive)

    async def _send_all(self, send: Send) -> None:
        async for chunk in self._events:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first(work: asyncio.Future[T], receive: Receive) -> T:
    """The work, unless the connection ends before it."""
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Gone
        return work.result()
    finally:
        await _stopped(work)
        await _stopped(watch)


async def _stopped(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # has been told, or concerns nobody any more


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
