"""How long a tool call may take until its agent's KV is worth less than its place, from tool times and the prefill rate. Pure.

Keeping c tokens for t seconds takes c t / P of the engine's time, as others could use their place in the pool of P tokens;
letting them go costs c / r, to prefill them again at r tokens per second. So keeping pays for t < P / r, whatever c is.
"""

from __future__ import annotations

import math
from collections import deque

from concur_batch.control.base import Sample

_LEAST_CALLS = 8  # before which nothing is said
_LEAST_BUSY_S = 0.1  # of prefill, before which its rate is not known
_MEMORY = 0.998  # of samples: the last eight minutes or so


class Patience:
    """Told of tool calls by `ended` and `overdue`, of the engine by `sampled`."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=512)  # of tool calls; overdue: inf
        self._prefilled = self._busy = 0.0
        self._fastest = 0.0
        self.break_even_s: float | None = None
        """P / r. None: the engine does not tell enough."""
        self.usual_s = 0.0
        """Tool calls up to this long should find their KV again; see `settle`."""
        self.long_share = 0.0
        """Of tool calls, those beyond break-even."""

    def ended(self, seconds: float) -> None:
        """A tool call has come back."""
        self._seconds.append(seconds)

    def overdue(self) -> None:
        """A tool call has run for longer than break-even; how long does not matter. `ended` is not called for it."""
        self._seconds.append(math.inf)

    def sampled(self, sample: Sample, pool_tokens: float | None, interval_s: float) -> None:
        """Learn the prefill rate. Without the seconds that the engine was busy with it, the fastest interval stands for it."""
        if sample.prefill_tokens and sample.prefill_busy_seconds:
            self._prefilled = _MEMORY * self._prefilled + sample.prefill_tokens
            self._busy = _MEMORY * self._busy + sample.prefill_busy_seconds
        elif sample.prefill_tokens and interval_s > 0:
            self._fastest = max(_MEMORY * self._fastest, sample.prefill_tokens / interval_s)
        rate = self._prefilled / self._busy if self._busy > _LEAST_BUSY_S else self._fastest
        if rate > 0 and pool_tokens is not None:
            self.break_even_s = pool_tokens / rate

    def settle(self, dead_tokens_per_call: float) -> None:
        """Choose `usual_s`. `dead_tokens_per_call`: KV that ended agents leave, per tool call and token of context.

        A cache that keeps what was used in the last a seconds costs each tool call, in units of c / r: the place of its
        agent's KV for min(t, a), that of the dead KV of a seconds, and a prefill if t > a. The least of it is taken.
        """
        calls = len(self._seconds)
        if self.break_even_s is None or calls < _LEAST_CALLS:
            return
        ends = sorted(seconds for seconds in self._seconds if seconds <= self.break_even_s)
        self.long_share = sum(seconds > self.break_even_s for seconds in self._seconds) / calls
        least, self.usual_s, passed = 1.0, 0.0, 0.0
        for i, seconds in enumerate(ends):
            passed += seconds
            left = calls - i - 1
            held = (passed + seconds * left) / calls + dead_tokens_per_call * seconds
            cost = held / self.break_even_s + left / calls
            if cost < least:
                least, self.usual_s = cost, seconds
