"""The simulated server as a process: an address to listen on, until it is told to stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from concur_batch.engine.port import bound
from concur_batch.sim.cost import Cost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.tokens import Tokenizer

if TYPE_CHECKING:
    from starlette.applications import Starlette


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """One simulated server.

    Args:
        options: the scheduler's.
        cost: seconds per iteration.
        model: the name it is served under.
        profile: what it stands for, told in /server_info.
        speed: engine seconds per second of the wall clock.
        host, port: where to listen.
        tokenizer: how text becomes tokens.
        api_key: asked of clients, as SGLang's --api-key.
        cache_report: tell `cached_tokens` in usage, as --enable-cache-report.
        metrics: open /metrics, as --enable-metrics.
    """

    options: ServerOptions
    cost: Cost
    model: str
    profile: str
    speed: float = 1.0
    host: str = "127.0.0.1"
    port: int
    tokenizer: Tokenizer
    api_key: str | None = None
    cache_report: bool = True
    metrics: bool = True


def build(settings: ServerSettings, *, record: bool = False, epoch: float | None = None) -> Starlette:
    """The ASGI application; its `state` has `pump` and `core`.

    Args:
        settings: of the server.
        record: keep all arrivals in `state.arrivals` (`sim.replay.Arrival`), and the core's decisions in `state.core.log`.
        epoch: wall-clock seconds at the first request, for timestamps; by default now.
    """
    from concur_batch.engine.server.app import make_app  # noqa: PLC0415 - starlette is loaded only where something is served

    return make_app(settings, record=record, epoch=time.time() if epoch is None else epoch)


def serve(settings: ServerSettings) -> int:
    """Serve until SIGINT or SIGTERM; prints one line with the address as soon as it listens. Returns the exit code.

    Raises InputError where the port cannot be had.
    """
    from concur_batch.engine.server.listener import listen  # noqa: PLC0415 - as above

    with bound(settings.host, settings.port) as held:
        settings = replace(settings, port=held.getsockname()[1])
        return listen(build(settings), held, settings)
