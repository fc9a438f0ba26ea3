"""The HTTP side: a server on threads of its own, so that a scrape never waits for the run, nor the run for a scrape."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from concur_batch.errors import InputError

_log = logging.getLogger(__name__)
_PATIENCE_S = 2.0  # for the thread to end; it ends within half a second unless the machine is stuck


@contextmanager
def serving(registry: CollectorRegistry, host: str, port: int) -> Iterator[str]:
    """Serve the registry while the block runs. Gives the URL; port 0 takes a free one. Raises InputError where it cannot listen."""
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"--metrics-port {port}: cannot listen on {host} ({_why(error)}); {_mend(error)}") from error
    server.handle_error = _log_error  # type: ignore[assignment]  # a parameter's name; the library's prints a trace into the user's terminal
    try:
        yield f"http://{_shown(host)}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_PATIENCE_S)


def _log_error(request: object, client: object) -> None:  # noqa: ARG001 - the form of the server's own
    _log.info("metrics: a scrape by %s was broken off", client, exc_info=True)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _mend(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program has that port: give another one, or 0 for any that is free"
    if isinstance(error, PermissionError):
        return "give a port above 1023, or 0 for any that is free"
    return "set run.metrics_host to an address of this machine"


def _shown(host: str) -> str:
    """As it stands in a URL; for all addresses, this host's name."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - only compared
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
