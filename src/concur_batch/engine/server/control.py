"""What operators and clients tell the engine to do: abort, flush, pause, sessions; and whether it is well."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.bodies import AbortBody, CloseSessionBody, OpenSessionBody, PauseBody, read
from concur_batch.engine.server.problems import NativeProblem, Problem
from concur_batch.engine.server.replying import as_json
from concur_batch.engine.server.service import Service
from concur_batch.sim.call import Call
from concur_batch.sim.runs import Run

_FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. "
    "(When there are running or waiting requests, the operation will not be performed.)\n"
)
_HEALTH_LOOK_S = 1.0
_HEALTH_TIMEOUT_S = 20.0


async def abort_request(request: Request) -> Response:
    """Always 200 and empty, whether or not there is such a request."""
    service: Service = request.app.state.service
    body = await read(request, AbortBody)
    if body.abort_all:
        service.abort_all()
    elif body.rid is not None:
        service.abort(body.rid)
    return Response()


async def flush_cache(request: Request) -> Response:
    """Text; 400 where something runs or waits, `timeout` seconds later still (0.5.23; 0.5.8 does not wait, and says the same)."""
    service: Service = request.app.state.service
    try:
        timeout_s = float(request.query_params.get("timeout", "0"))
    except ValueError:
        timeout_s = -1.0
    if not 0 <= timeout_s < float("inf"):
        told = "1 validation error:\n  ('query', 'timeout'): Input should be greater than or equal to 0"
        raise Problem(told, kind="Bad Request")
    old = service.options.is_old
    flushed = await service.flush(0.0 if old else timeout_s)
    if flushed:
        return Response(_FLUSHED)
    if old:
        return Response(_FLUSHED, 400)
    return Response("Timed out waiting for idle state." if timeout_s else "Flush cache failed.\n", 400)


async def pause_generation(request: Request) -> Response:
    """Modes `abort` (the default), `retract`, `in_place`."""
    service: Service = request.app.state.service
    body = await read(request, PauseBody)
    service.pause(body.mode)
    return as_json({"message": "Generation paused successfully.", "status": "ok"})


async def continue_generation(request: Request) -> Response:
    """After a pause."""
    service: Service = request.app.state.service
    await read(request, dict)
    service.resume()
    return as_json({"message": "Generation continued successfully.", "status": "ok"})


async def open_session(request: Request) -> Response:
    """The session's id as a JSON string. Only `session_params` of /generate needs it; `session_id` does not."""
    service: Service = request.app.state.service
    body = await read(request, OpenSessionBody)
    session = service.open_session(body.session_id)
    if session is None:
        raise NativeProblem("Failed to open the session. Check if a session with the same id is still open.")
    return as_json(session)


async def close_session(request: Request) -> Response:
    """Always 200 and empty, whether or not there is such a session."""
    service: Service = request.app.state.service
    service.close_session((await read(request, CloseSessionBody)).session_id)
    return Response()


async def ready(_: Request) -> Response:
    """Costs the engine nothing."""
    return Response()


async def health(request: Request) -> Response:
    """Has an idle engine generate a token, and looks every engine second, first after one, whether anything was generated."""
    service: Service = request.app.state.service
    core = service.core
    service.pump.settle()
    before, token = core.iterations, None
    if core.is_idle:
        rid = f"HEALTH_CHECK_{uuid.uuid4().hex}"
        token = asyncio.ensure_future(service.check(Call(rid=rid, prompt=[Run("\0", 0, 1, 1.0)], output=[Run(rid, 0, 1)])))
    try:
        for _ in range(int(_HEALTH_TIMEOUT_S / _HEALTH_LOOK_S)):
            await asyncio.sleep(_HEALTH_LOOK_S / service.settings.speed)
            service.pump.settle()
            if core.iterations > before:
                return Response()
        return Response(status_code=503)
    finally:
        if token is not None and not token.done():
            token.cancel()
            with suppress(asyncio.CancelledError):
                await token
