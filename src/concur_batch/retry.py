"""The one retry layer of model calls: tenacity, with seeded jitter and the server's Retry-After."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import tenacity

from concur_batch.engine.base import Engine, Reply, Request
from concur_batch.errors import EngineBusy, EngineError, EngineFailed

_FIRST_S, _LONGEST_S = 0.5, 30.0  # waits before retries
_LONGEST_RETRY_AFTER_S = 600.0  # a server that asks for more is asked again sooner
_PASSING = (EngineBusy, EngineFailed)

OnRetry = Callable[[int, EngineError, float], None]
"""Called before each wait: number of the coming retry (from 1), what went wrong, seconds to wait."""


@dataclass(slots=True)
class Effort:
    """What one model call has taken so far, besides the attempt under way. Seconds."""

    retries: int = 0
    retry_s: float = 0.0  # lost in attempts that failed, and between them
    wait_s: float = 0.0  # before sending

    def tell(self, error: EngineError) -> None:
        """Of the call that is given up with this error."""
        error.retries, error.retry_s, error.wait_s = self.retries, self.retry_s, self.wait_s


class Answered(NamedTuple):
    """A reply, and what it took to get it."""

    reply: Reply
    lost_s: float  # in attempts that failed, and between them


def backoff_s(rng: random.Random, number: int) -> float:
    """Before the retry of that number, from 1: doubling waits, each shortened by up to half at random."""
    return min(_LONGEST_S, _FIRST_S * 2.0 ** (number - 1)) * rng.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class _Wait:
    """As `backoff_s`, but never shorter than what the server asked for."""

    rng: random.Random

    def __call__(self, state: tenacity.RetryCallState) -> float:
        wait = backoff_s(self.rng, state.attempt_number)
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, EngineBusy) else None
        if asked is None:
            return wait
        return min(asked, _LONGEST_RETRY_AFTER_S) + wait  # the jitter on top, so that not all come back at once


async def complete_with_retries(
    engine: Engine,
    request: Request,
    rng: random.Random,
    *,
    attempts: int = 6,
    on_retry: OnRetry | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answered:
    """Complete `request`, trying at most `attempts` times while the engine is busy or fails.

    Every retry has a request id of its own. Raises what the last attempt raised; EngineDown at once, since only the engine's
    return can help there.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        return Answered(await engine.complete(request), 0.0)  # nearly always all there is: nothing is built for it
    except _PASSING as caught:
        failure: EngineError = caught

    def told(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if on_retry is not None and isinstance(error, EngineError) and state.next_action is not None:
            on_retry(state.attempt_number, error, state.next_action.sleep)

    retrying = tenacity.AsyncRetrying(
        sleep=sleep,
        stop=tenacity.stop_after_attempt(attempts),  # by attempts: tenacity's stop by time reads the real clock
        wait=_Wait(rng),
        retry=tenacity.retry_if_exception_type(_PASSING),
        before_sleep=told,
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            if attempt.retry_state.attempt_number == 1:  # has been made above
                raise failure
            retries = attempt.retry_state.attempt_number - 1
            sent = clock()
            reply = await engine.complete(replace(request, request_id=f"{request.request_id}~{retries}"))
            return Answered(reply, sent - started)
    raise AssertionError("tenacity either returns or raises")
