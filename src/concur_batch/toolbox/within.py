"""A time limit that also binds work which swallows its cancellation, as `except:` in a loop does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import Any

from concur_batch.held import hold

_LEAVE_S = 5.0  # to clean up in, once cancelled; who takes longer is left where it stands


class Late(Exception):
    """The work did not end in time."""


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """What the work returns or raises. Raises Late after so many seconds (inf: never), at once if it lets itself be cancelled."""
    left: list[BaseException] = []

    async def held() -> tuple[Any, BaseException | None]:
        try:
            return await hold(work, lambda: left[0] if left else None), None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (a task that raises SystemExit takes the event loop with it)
            return None, error

    task = asyncio.get_running_loop().create_task(held())
    try:
        await asyncio.wait((task,), timeout=None if math.isinf(seconds) else seconds)
        if not task.done():
            raise Late
    finally:
        if not task.done():
            task.cancel()
            try:
                await asyncio.wait((task,), timeout=_LEAVE_S)
            finally:
                left.append(asyncio.CancelledError())
                task.cancel()
    result, error = task.result()
    if error is not None:
        raise error
    return result
