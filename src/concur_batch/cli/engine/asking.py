"""Asking a server that the user has named and nobody has seen yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from concur_batch.errors import EngineDown


@contextmanager
def asking() -> Iterator[None]:
    """Where nothing answers, say what to look for as well."""
    try:
        yield
    except EngineDown as error:
        raise EngineDown(f"{error}; see that the server is started there, and that the address is right") from error
