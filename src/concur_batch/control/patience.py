"""How long a tool call may take until its agent's KV is worth less than its place, from tool times and the prefill rate. Pure.

Keeping c tokens for t seconds takes c t / P of the engine's time, as others could use their place in the pool of P tokens;
letting them go costs c / r, to prefill them again at r tokens per second. So keeping pays for t < P / r, whatever c is.

An engine that evicts by age keeps them if they are used now and then: a request for one token more touches them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

_LEAST_CALLS = 8  # before which nothing is said
_LEAST_INTERVAL_S = 0.1
_WIDER = 1.25  # from one interval between touches that is weighed to the next
_ROUNDING = 1e-9  # of costs


class Patience:
    """Told of tool calls by `ended` and `overdue`, of the engine by `sampled`."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=512)  # of tool calls; overdue: inf
        self.break_even_s: float | None = None
        """P / r. None: the engine does not tell enough."""
        self.usual_s = 0.0
        """For so long KV should survive unused; see `settle`."""
        self.touch_s: float | None = None
        """KV that was not used for so long is touched. None: it is not worth it."""
        self._interval_s = 1.0
        self.long_share = 0.0
        """Of tool calls, those beyond break-even."""

    def ended(self, seconds: float) -> None:
        """A tool call has come back."""
        self._seconds.append(seconds)

    def overdue(self) -> None:
        """A tool call has run for longer than break-even; how long does not matter. `ended` is not called for it."""
        self._seconds.append(math.inf)

    def sampled(self, pool_tokens: float | None, per_token_s: float | None, interval_s: float) -> None:
        """`per_token_s`: of prefill. What a prefill takes besides does not count: the agent's next call has one anyhow."""
        self._interval_s = max(interval_s, _LEAST_INTERVAL_S)
        if per_token_s is not None and pool_tokens is not None:
            self.break_even_s = pool_tokens * per_token_s

    def settle(self, dead_tokens_per_call: float, touch: float | None = None) -> None:
        """Choose `usual_s` and `touch_s`. `dead_tokens_per_call`: KV that ended agents leave, per tool call and token of context.
        `touch`: what a touch costs, in prefills of a whole context; None: there are none.

        A cache that keeps what was used in the last a seconds costs each tool call, in units of c / r: the place of its
        agent's KV for min(t, a), that of the dead KV of a seconds, and a prefill if t > a. Touched every a seconds, KV stays
        until break-even: its place for min(t, P / r), that of the dead KV of a seconds and of those to the next sample, the
        touches, and a prefill if t > P / r. The least of all that is taken.
        """
        calls = len(self._seconds)
        if self.break_even_s is None or calls < _LEAST_CALLS:
            return
        ends = sorted(seconds for seconds in self._seconds if seconds <= self.break_even_s)
        self.long_share = (calls - len(ends)) / calls
        least, self.usual_s, self.touch_s, passed = 1.0, 0.0, None, 0.0
        for i, seconds in enumerate(ends):
            passed += seconds
            left = calls - i - 1
            held = (passed + seconds * left) / calls + dead_tokens_per_call * seconds
            cost = held / self.break_even_s + left / calls
            if cost < least:
                least, self.usual_s = cost, seconds
        if touch is None:
            return
        kept = passed / self.break_even_s / calls + 2 * self.long_share
        every_s = self._interval_s
        while every_s < self.break_even_s:
            survives_s = every_s + self._interval_s
            cost = kept + dead_tokens_per_call * survives_s / self.break_even_s + touch * self._touches(ends, every_s) / calls
            if cost < least - _ROUNDING:
                least, self.usual_s, self.touch_s = cost, survives_s, every_s
            every_s *= _WIDER

    def _touches(self, ends: list[float], every_s: float) -> int:
        """In all tool calls that are remembered."""
        if self.break_even_s is None:
            return 0
        touches, after, stride = 0, every_s, every_s + self._interval_s / 2
        while after < self.break_even_s and ends and after <= ends[-1]:
            touches += len(self._seconds) - bisect_left(ends, after)
            after += stride
        alike = math.ceil(max(0.0, self.break_even_s - after) / stride)  # from here on only of those that outlast break-even
        return touches + alike * (len(self._seconds) - len(ends))
