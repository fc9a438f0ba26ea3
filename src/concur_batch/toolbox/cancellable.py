"""Cancellation that also binds work which swallows it, as `except:` in a loop does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from concur_batch.held import hold

T = TypeVar("T")

_LEAVE_S = 5.0  # to clean up in, once cancelled


async def cancellable(work: Awaitable[T]) -> T:
    """What the work comes to. Where it goes on for so long after this task was cancelled, it is left where it stands."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    patience: asyncio.TimerHandle | None = None
    is_over = False

    def leave() -> None:
        nonlocal is_over
        is_over = True
        task.cancel()  # whatever the work waits for now

    def left() -> BaseException | None:
        nonlocal patience
        if patience is None and task.cancelling() > before:
            patience = loop.call_later(_LEAVE_S, leave)
        return asyncio.CancelledError() if is_over else None

    try:
        return await hold(work, left)
    finally:
        if patience is not None:
            patience.cancel()
        if is_over:
            task.uncancel()
