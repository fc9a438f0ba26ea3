"""Model calls that are being tried again: told at each retry, and as a whole by the call's own record. Pure."""

from __future__ import annotations

from typing import NamedTuple

from concur_batch import records as r


class Tried(NamedTuple):
    """Of one call. `seconds`: lost in attempts that failed, and between them."""

    retries: int
    seconds: float
    t: float = 0.0  # of its newest attempt that failed, and why that did
    message: str = ""


class Retrying(NamedTuple):
    """Model calls of one engine, and why the newest attempt of them that failed did, without the engine's name."""

    calls: int
    message: str


_NOTHING = Tried(0, 0.0)


def told(calls: dict[int, Tried], x: r.CallRetried) -> Tried:
    """What this adds to what `calls`, a rollout's by n, have told; they are kept up."""
    before = calls.get(x.n, _NOTHING)
    calls[x.n] = Tried(x.retries, x.retry_s, x.t, x.message)
    return Tried(x.retries - before.retries, x.retry_s - before.seconds)


def left(calls: dict[int, Tried], x: r.ReplyReceived | r.CallFailed) -> Tried:
    """What the end of a call adds to what was told of it; it is taken out of them."""
    before = calls.pop(x.n, _NOTHING)
    return Tried(x.retries - before.retries, x.retry_s - before.seconds)
