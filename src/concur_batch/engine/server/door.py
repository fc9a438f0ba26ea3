"""What every request passes: the key, where one is asked for, and the counting."""

from __future__ import annotations

import secrets
from collections.abc import Container

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concur_batch.engine.server.replying import Gone, as_json
from concur_batch.engine.server.tally import Tally

_OPEN = ("/health", "/ready", "/metrics")  # to probes and scrapers without a key, as with SGLang (srt/utils/auth.py)


class Door:
    """ASGI middleware around the whole application.

    Args:
        app: what is inside.
        tally: where HTTP requests are counted.
        api_key: asked for as bearer token; None: everybody may enter.
        paths: those that are counted by name; all others count as `/other`, since a client may make up any number of them.
    """

    def __init__(self, app: ASGIApp, *, tally: Tally, api_key: str | None, paths: Container[str]) -> None:
        self._app = app
        self._tally = tally
        self._key = api_key
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._may_enter(scope):
            await as_json({"error": "Unauthorized"}, 401)(scope, receive, send)
            return
        endpoint = scope["path"] if scope["path"] in self._paths else "/other"
        status: int | None = None

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._tally.http_began(endpoint, scope["method"])
        try:
            await self._app(scope, receive, counted)
        except Gone:
            pass  # nobody to answer
        finally:
            self._tally.http_ended(endpoint, scope["method"], status)

    def _may_enter(self, scope: Scope) -> bool:
        if self._key is None or scope["path"].startswith(_OPEN):
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        return scheme.lower() == b"bearer" and secrets.compare_digest(token, self._key.encode())
