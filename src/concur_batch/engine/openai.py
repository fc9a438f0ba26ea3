"""SGLang, first of all, and any other server that speaks OpenAI's chat completions, with less."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from concur_batch.engine.address import parse_address
from concur_batch.engine.base import Capabilities, EngineStats, Reply, Request
from concur_batch.engine.faults import failure_told, fault, is_about_length, room_for_completion, unreadable
from concur_batch.engine.helps import plainer, refused_fields
from concur_batch.engine.probe import probe, read_json
from concur_batch.engine.readings import Readings
from concur_batch.engine.transport import Answer, Transport
from concur_batch.engine.wire import chat_body, read_reply, wrong_field
from concur_batch.errors import EngineBusy, EngineError, EngineFailed

_log = logging.getLogger(__name__)

_CONTROL_TIMEOUT_S = 2.0  # abort, close: help that must not hold anybody up
_SHORTENINGS = 4  # a reply is halved down to a sixteenth where the server does not tell how long the prompt is

_Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[Answer]]


class OpenAIEngine:
    """One server. Implements `engine.base.Engine`; belongs to the event loop that first uses it.

    Args:
        url: `http://HOST:PORT`, with or without `/v1`. InputError where it is no such address.
        api_key: sent as bearer token; local servers without a key take any.
        name: for records and display; by default the URL.
        request_timeout_s: seconds for one call of `complete`.
        connect_timeout_s: seconds for making one connection.
        probe_timeout_s: seconds for each question of `probe` and `stats`.
        ready_timeout_s: seconds for `ready`.
        metrics_interval_s: seconds between two readings of /metrics, where /v1/loads tells the rest.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "EMPTY",
        name: str | None = None,
        *,
        request_timeout_s: float = 1800.0,
        connect_timeout_s: float = 30.0,
        probe_timeout_s: float = 10.0,
        ready_timeout_s: float = 3.0,
        metrics_interval_s: float = 5.0,
    ) -> None:
        address = parse_address(url)
        self._where = address.root
        self._name = name or address.root
        self._request_timeout_s = request_timeout_s
        self._probe_timeout_s = probe_timeout_s
        self._ready_timeout_s = ready_timeout_s
        self._transport = Transport(address, api_key, connect_timeout_s=connect_timeout_s)
        self._capabilities = Capabilities()
        self._readings = Readings(self._transport, self._capabilities, self._where, metrics_interval_s)
        # Two runs of the same job on one server must not share ids: SGLang refuses a request's that is in flight, and the end of
        # one run's session would give away the KV of the other's.
        self._nonce = secrets.token_hex(4)
        self._calls = itertools.count(1)
        self._rids: dict[str, str] = {}  # request_id -> rid of what was sent last, of the calls in flight
        self._aborts: set[asyncio.Task[None]] = set()
        self._tells_cached = False  # a reply has told its cached tokens
        self._refused: set[str] = set()  # fields that a call had to be sent without

    @property
    def name(self) -> str:
        """The URL without secrets, or as given."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """As of the last `probe`."""
        return self._capabilities

    async def probe(self) -> Capabilities:
        """Ask the server what it is. Raises EngineDown where it cannot be reached, EngineError where it is no model server."""
        can = _without(await probe(self._transport, self._where, self._probe_timeout_s), self._refused)
        self._capabilities = can
        self._tells_cached = False  # another server may stand there now
        self._readings = Readings(self._transport, can, self._where, self._readings.metrics_interval_s)
        return can

    async def complete(self, request: Request) -> Reply:
        """One attempt, as the protocol says. A `max_tokens` that no longer fits the context is lowered to what does; one that nobody
        asked for is left out where it is refused all the same.
        """
        can = self._capabilities
        body = chat_body(request, can)
        if "session_id" in body:
            body["session_id"] = self._session(body["session_id"])
        if self._refused:
            body = plainer(body, self._refused)
        send = partial(self._send, request.request_id)
        try:
            async with asyncio.timeout(self._request_timeout_s):
                answer = await send(body)
                if answer.status >= 400 and (refused := refused_fields(answer.status, answer.body, body)):
                    body = plainer(body, refused)
                    answer = await self._send_plainer(send, body, refused, answer)
                if answer.status == 400:
                    answer = await _send_shortened(send, body, answer, guess=not request.bound_is_ours)
                if request.bound_is_ours and is_about_length(answer.status, answer.body):
                    answer = await send({key: body[key] for key in body if key != "max_tokens"})
        except TimeoutError:
            await self.abort(request.request_id)
            raise EngineFailed(f"{self._where}: no reply within {self._request_timeout_s:g} s") from None
        except asyncio.CancelledError:
            await self.abort(request.request_id)
            raise
        finally:
            self._rids.pop(request.request_id, None)
        return self._read(answer, request)

    async def _send(self, request_id: str, body: dict[str, Any]) -> Answer:
        """Send under an id that no other has had: SGLang 0.5.11 to 0.5.13 take that of a request which they refused for a duplicate."""
        rid = self._rids[request_id] = f"{self._nonce}-{next(self._calls)}-{request_id}"
        return await self._transport.chat({**body, "rid": rid} if self._capabilities.abort else body)

    def _read(self, answer: Answer, request: Request) -> Reply:
        if answer.status >= 300:
            raise fault(answer.status, answer.headers, answer.body, self._where)
        reply = read_reply(answer.body, request.request_id)
        if reply is None or reply.finish_reason == "error":
            told = failure_told(answer.body, self._where)
            raise told or unreadable(answer.body, self._where, "a chat completion", wrong_field(answer.body))
        if reply.finish_reason == "abort":
            raise EngineBusy(f"{self._where}: the server aborted the request")
        if reply.cached_tokens is not None:
            self._tells_cached = True
        elif self._tells_cached:  # SGLang up to 0.5.17 says nothing of a prompt of which nothing was cached
            return replace(reply, cached_tokens=0)
        return reply

    async def _send_plainer(self, send: _Send, body: dict[str, Any], refused: list[str], refusal: Answer) -> Answer:
        """Send again, once, without the fields that the refusal names. Where that is taken, they are left out from now on; else
        they may not have been to blame: a refusal can quote a request that is wrong in another place.
        """
        answer = await send(body)
        if answer.status < 300 and not self._refused.issuperset(refused):
            told = fault(refusal.status, refusal.headers, refusal.body, self._where)
            _log.warning("left out from now on: %s; it was refused: %s", ", ".join(refused), told)
            self._refused.update(refused)
            self._capabilities = _without(self._capabilities, self._refused)
        return answer

    async def stats(self) -> EngineStats:
        """One reading. Raises EngineError where none came."""
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                return await self._readings.read(asyncio.get_running_loop().time())
        except TimeoutError:
            raise EngineFailed(f"{self._where}: no statistics within {self._probe_timeout_s:g} s") from None

    async def ready(self) -> bool:
        """By /ready, which costs the server nothing (/health makes it generate a token), else by the list of models."""
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                answer = await self._transport.ask("GET", "/ready")
                if answer.status == 200 or answer.status >= 500:
                    return answer.status == 200
                return read_json(await self._transport.ask("GET", "/models", api=True)) is not None
        except Exception:  # noqa: BLE001 - whoever asks waits for an engine to come back: whatever went wrong, it is not there yet
            return False

    async def abort(self, request_id: str) -> None:
        """End that generation; unknown ids and servers without the means do nothing. Goes on if the caller is cancelled meanwhile."""
        rid = self._rids.get(request_id)
        if rid is None or not self._capabilities.abort:
            return
        task = asyncio.create_task(self._tell("/abort_request", {"rid": rid}))  # closing the connection does it seconds later
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)
        await asyncio.wait({task})

    async def close_session(self, session_id: str) -> None:
        """Say that this agent's KV is dead: it is then evicted before that of live ones."""
        if self._capabilities.session_close:
            await self._tell("/close_session", {"session_id": self._session(session_id)})

    def _session(self, session_id: str) -> str:
        return f"{self._nonce}-{session_id}"

    async def aclose(self) -> None:
        """Close connections. No call may follow."""
        if self._aborts:
            await asyncio.wait(self._aborts, timeout=_CONTROL_TIMEOUT_S)
        await self._transport.aclose()

    async def _tell(self, path: str, body: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_CONTROL_TIMEOUT_S):
                await self._transport.ask("POST", path, body)
        except (EngineError, TimeoutError):
            pass  # a help, not a duty: the server lets go of it by itself later


async def _send_shortened(send: _Send, body: dict[str, Any], refusal: Answer, *, guess: bool) -> Answer:
    """Send again where only prompt + completion was too long; else the refusal stands. SGLang may refuse twice: it looks at
    what is asked for before it counts the prompt. `guess`: also where the length of the prompt is not told.
    """
    field = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    for _ in range(_SHORTENINGS):
        asked, room = body.get(field), room_for_completion(refusal.body, guess=guess)
        if room is None or (isinstance(asked, int) and room >= asked):
            break
        body = {**body, field: room}
        refusal = await send(body)
        if refusal.status != 400:
            break
    return refusal


def _without(can: Capabilities, refused: set[str]) -> Capabilities:
    return replace(
        can,
        session_close=can.session_close and "session_id" not in refused,
        priority=can.priority and "priority" not in refused,
        refused=tuple(sorted(refused)),
    )
