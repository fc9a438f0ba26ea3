"""A question asked again where the server is busy: for commands with one chance, which `retry` and its records are not for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from concur_batch.errors import EngineBusy

_TRIES = 5
_FIRST_S = 0.5  # before the second; doubled from then on

T = TypeVar("T")


async def unless_busy(ask: Callable[[], Awaitable[T]], within_s: float) -> T:
    """Ask; at 429, 503 and the like again after `Retry-After`, or after a growing pause, as long as that is within so many seconds.

    Raises what the last attempt raised.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + within_s
    for number in range(_TRIES - 1):
        try:
            return await ask()
        except EngineBusy as error:
            pause_s = _FIRST_S * 2**number if error.retry_after is None else error.retry_after
            if clock() + pause_s > end:
                raise
            await asyncio.sleep(pause_s)
    return await ask()
