"""uvicorn on a socket that is bound already."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from concur_batch.engine.server.serve import ServerSettings
from concur_batch.engine.server.service import Service

_GRACE_S = 3  # for replies under way when it is told to stop


class _Server(uvicorn.Server):
    """Says where it listens, and takes the two signals as a wish to end rather than as a failure."""

    def __init__(self, config: uvicorn.Config, service: Service, line: str) -> None:
        super().__init__(config)
        self._service = service
        self._line = line

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._service.abort_all()  # each gets what has been said so far

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(self._line + "\n")
            sys.stdout.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def listen(app: Starlette, bound: socket.socket, settings: ServerSettings) -> int:
    """Serve on this socket until SIGINT or SIGTERM. Requests under way are then aborted; a second SIGINT does not wait for that."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="asyncio",  # its clock is finer than the milliseconds of uvloop's
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=5,  # as SGLang's
        timeout_graceful_shutdown=_GRACE_S,
    )
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    pace = "" if settings.speed == 1.0 else f", {settings.speed:g} times faster than real time"
    line = (
        f"simulated SGLang {settings.options.version} ({settings.profile}, pool of {settings.options.capacity_tokens:,} tokens"
        f"{pace}) listens on http://{shown}:{port}"
    )
    server = _Server(config, app.state.service, line)
    with asyncio.Runner() as runner:
        runner.run(server.serve(sockets=[bound]))
    return 0 if server.started else 1
