"""A port of this machine, taken for a server of ours."""

from __future__ import annotations

import errno
import socket

from concur_batch.errors import InputError


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds the address. Port 0: any free one. Raises InputError with the mend."""
    if port > 65_535:  # which getaddrinfo would take for another
        raise InputError(f"port {port}: ports end at 65535; give another --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, OverflowError, UnicodeError):  # no such host; or none that there can be
        raise InputError(
            f"cannot listen on {host}:{port}: there is no such address on this machine; give another --host"
        ) from None
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} on {host} is in use by another program; give a free one with --port") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} on {host} may not be opened by this user; give one above 1023 with --port") from None
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; give another --host or --port") from None
    return made
