"""Steps that all ways to generate share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.problems import LateProblem, Problem
from concur_batch.engine.server.replying import EventStream, refusal, while_connected
from concur_batch.sim.call import Call

_OUT_OF_MEMORY = "Out of memory"  # how the scheduler's own abort begins; all others are somebody's wish


def check_single(n: int | None) -> None:
    """Raises Problem where several replies to one prompt are asked for."""
    if n not in (None, 1):
        raise Problem(f"the simulated server gives one reply per request: n must be 1, got {n}.")


def check_survived(call: Call) -> None:
    """Raises Problem where the engine gave the request up, for want of memory (schedule_batch.py:3516)."""
    if call.finish_reason == "abort" and (call.message or "").startswith(_OUT_OF_MEMORY):
        raise Problem(call.message or _OUT_OF_MEMORY, 500, "InternalServerError")


async def streamed(
    request: Request,
    source: AsyncGenerator[int, None],
    events: Callable[[AsyncGenerator[int, None]], AsyncGenerator[bytes, None]],
) -> Response:
    """The events made of a call's tokens. Raises Problem where it is refused before a status is sent."""
    try:
        tokens = await while_connected(request, opened(source))
    except LateProblem as problem:
        return EventStream(refusal(problem.body()), source)
    return EventStream(events(tokens), tokens)


async def opened(source: AsyncGenerator[int, None]) -> AsyncGenerator[int, None]:
    """The same source, when it has its first item or its end: what it refuses, it refuses here, before a status is sent."""
    try:
        first = await anext(source)
    except StopAsyncIteration:
        return _then(None, source)
    return _then(first, source)


async def _then(first: int | None, source: AsyncGenerator[int, None]) -> AsyncGenerator[int, None]:
    try:
        if first is not None:
            yield first
        async for item in source:
            yield item
    finally:
        await source.aclose()
