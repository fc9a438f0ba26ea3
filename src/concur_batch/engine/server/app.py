"""The application: which path leads where."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from concur_batch.engine.server import control, info
from concur_batch.engine.server.chat import chat_completions
from concur_batch.engine.server.completions import completions
from concur_batch.engine.server.door import Door
from concur_batch.engine.server.generate import generate
from concur_batch.engine.server.loads import get_load, loads
from concur_batch.engine.server.metrics import metrics
from concur_batch.engine.server.problems import Fault, Problem
from concur_batch.engine.server.replying import as_json
from concur_batch.engine.server.serve import ServerSettings
from concur_batch.engine.server.service import Service
from concur_batch.sim.core import EngineCore
from concur_batch.sim.replay import RecordingCore

_EITHER = ["GET", "POST"]


def make_app(settings: ServerSettings, *, record: bool, epoch: float) -> Starlette:
    """As `serve.build`."""
    core = (RecordingCore if record else EngineCore)(settings.options, settings.cost)
    service = Service(settings, core, epoch)
    routes = _routes(settings)
    paths = {route.path for route in routes}
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Door, tally=service.tally, api_key=settings.api_key, paths=paths)],
        exception_handlers={Problem: _problem, HTTPException: _http_problem, Fault: _fault},
    )
    app.state.service, app.state.pump, app.state.core = service, service.pump, core
    if isinstance(core, RecordingCore):
        app.state.arrivals = core.arrivals
    return app


def _routes(settings: ServerSettings) -> list[Route]:
    routes = [
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/generate", generate, methods=["POST", "PUT"]),
        Route("/v1/models", info.models),
        Route("/v1/models/{model:path}", info.model),
        Route("/v1/loads", loads),
        Route("/get_load", get_load),
        Route("/server_info", info.server_info),
        Route("/get_server_info", info.server_info),
        Route("/model_info", info.model_info),
        Route("/get_model_info", info.model_info),
        Route("/health", control.health),
        Route("/health_generate", control.health),
        Route("/ready", control.ready),
        Route("/flush_cache", control.flush_cache, methods=_EITHER),
        Route("/abort_request", control.abort_request, methods=["POST"]),
        Route("/open_session", control.open_session, methods=_EITHER),
        Route("/close_session", control.close_session, methods=_EITHER),
        Route("/pause_generation", control.pause_generation, methods=["POST"]),
        Route("/continue_generation", control.continue_generation, methods=["POST"]),
    ]
    for route in routes:
        assert route.methods is not None
        route.methods.discard("HEAD")  # which starlette adds to GET, and FastAPI does not
    return [*routes, Route("/metrics", metrics)] if settings.metrics else routes


async def _problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return as_json(problem.body(), problem.status)


async def _http_problem(_: Request, problem: Exception) -> Response:
    """As FastAPI words what no route takes."""
    assert isinstance(problem, HTTPException)
    response = as_json({"detail": problem.detail}, problem.status_code)
    response.headers.update(problem.headers or {})
    return response


async def _fault(_: Request, __: Exception) -> Response:
    return Response("Internal Server Error", 500, media_type="text/plain")
