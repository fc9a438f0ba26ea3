"""How often a tool may be called, over all rollouts of a run."""

from __future__ import annotations

import asyncio
import math
import re
from typing import NamedTuple

from asyncio_throttle.throttler import Throttler

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_RATE = re.compile(r"\s*([0-9.]+)\s*/\s*([0-9.]*)\s*([a-z]+)\s*")


class Rate(NamedTuple):
    """At most `calls` in any `period_s` seconds."""

    calls: int
    period_s: float


def parse_rate(text: str | float | tuple[float, float]) -> Rate:
    """`"5/s"`, `"100/min"`, `"30/10s"`, a number of calls per second, or `(calls, seconds)`. Raises ValueError otherwise."""
    wrong = ValueError(f'a rate is "5/s", "100/min", "30/10s", a number per second or (calls, seconds), not {text!r}')
    if isinstance(text, str):
        match = _RATE.fullmatch(text.lower())
        if match is None or match[3] not in _UNITS:
            raise wrong
        try:
            calls, period = float(match[1]), float(match[2] or 1) * _UNITS[match[3]]
        except ValueError:
            raise wrong from None
    else:
        pair = text if isinstance(text, tuple) else (text, 1.0)
        if len(pair) != 2 or not all(is_number(part) for part in pair):
            raise wrong
        calls, period = pair
    if not (0 < calls < math.inf and 0 < period < math.inf):
        raise wrong
    if float(calls).is_integer():
        return Rate(int(calls), float(period))
    return Rate(1, period / calls)


def is_number(value: object) -> bool:
    """Whether it is one and no truth value, which Python takes for 0 or 1."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class RateGate:
    """Lets calls pass at a rate, in the order they came."""

    def __init__(self, rate: Rate) -> None:
        pause = min(0.1, max(0.002, rate.period_s / rate.calls / 4))
        self._throttler = Throttler(rate_limit=rate.calls, period=rate.period_s, retry_interval=pause)
        self._lock = asyncio.Lock()

    async def enter(self) -> None:
        """Return when one more call may be made."""
        async with self._lock:  # the throttler polls: only the first in the queue does, the others sleep on the lock
            await self._throttler.acquire()  # type: ignore[no-untyped-call]
