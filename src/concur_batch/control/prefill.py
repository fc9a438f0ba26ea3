"""What prefills cost an engine, and how many model calls to begin at once for it. Pure.

A prefill takes a fixed time, to launch it and to read the weights, and a time per token. All calls that are decoding stand still
meanwhile, so beginning m calls together makes B of them stand still once for the fixed time f, instead of m times. But calls wait
for each other: with r calls per second (m - 1) / 2 r in the mean. The sum per call, B f / m + (m - 1) / 2 r, is least at the
largest m with m (m - 1) / 2 <= r B f.
"""

from __future__ import annotations

import math

from concur_batch.control.base import Sample

_MEMORY = 0.998  # of samples: the last eight minutes or so
_LEAST_BUSY_S = 0.02  # of prefill, before which nothing is said
_PRIOR_BEGUN = 20.0  # as heavy as a second with so many prefills, whose fixed time was 0
_LEAST_SHARE = 0.1  # of the time per token that all is due to the tokens, whatever the fit says
_LEAST_INTERVAL_S = 0.1
_SMOOTHING = 0.1  # of rates, per sample
_MOST_TOGETHER = 16
_PATIENCE = 2.0  # the last of those who are to begin together is waited for as long as it should take, times this


class PrefillCost:
    """Least squares of the seconds that the engine was busy with prefill, over prefills begun and tokens computed."""

    def __init__(self) -> None:
        self.fixed_s = 0.0
        """Of a prefill, however short."""
        self.per_token_s: float | None = None
        """Besides. None: the engine does not tell enough."""
        self._begun2 = _PRIOR_BEGUN**2  # sums of products over samples, older ones weighing less
        self._begun_tokens = self._tokens2 = self._begun_busy = self._tokens_busy = 0.0
        self._tokens = self._busy_s = 0.0
        self._fastest = 0.0

    def sampled(self, sample: Sample, interval_s: float) -> None:
        """Without the seconds that the engine was busy with it, the fastest interval stands for the time per token."""
        tokens, busy_s = sample.prefill_tokens, sample.prefill_busy_seconds
        if tokens and busy_s:
            self._add(sample.begun, tokens, busy_s)
        elif tokens and interval_s > 0:
            self._fastest = max(_MEMORY * self._fastest, tokens / interval_s)
        if self._busy_s > _LEAST_BUSY_S:
            self._solve()
        elif self._fastest > 0:
            self.per_token_s = 1.0 / self._fastest

    def _add(self, begun: int, tokens: int, busy_s: float) -> None:
        self._begun2 = _MEMORY * self._begun2 + begun * begun
        self._begun_tokens = _MEMORY * self._begun_tokens + begun * tokens
        self._tokens2 = _MEMORY * self._tokens2 + tokens * tokens
        self._begun_busy = _MEMORY * self._begun_busy + begun * busy_s
        self._tokens_busy = _MEMORY * self._tokens_busy + tokens * busy_s
        self._tokens = _MEMORY * self._tokens + tokens
        self._busy_s = _MEMORY * self._busy_s + busy_s

    def _solve(self) -> None:
        mean_s = self._busy_s / self._tokens
        determinant = self._begun2 * self._tokens2 - self._begun_tokens**2
        fixed = self._begun_busy * self._tokens2 - self._tokens_busy * self._begun_tokens
        if fixed <= 0 or determinant <= 0:
            self.fixed_s, self.per_token_s = 0.0, mean_s
            return
        per_token = self._tokens_busy * self._begun2 - self._begun_busy * self._begun_tokens
        self.fixed_s = fixed / determinant
        self.per_token_s = max(per_token / determinant, _LEAST_SHARE * mean_s)


class Company:
    """How many model calls begin together, from how often they begin and how many are decoding meanwhile."""

    def __init__(self) -> None:
        self.calls = 1
        self.hold_s = 0.0
        """For so long at most a call waits for others."""
        self._replies = 0
        self._per_s = self._decoding = 0.0

    def replied(self) -> None:
        """A model call has been answered."""
        self._replies += 1

    def sampled(self, sample: Sample, interval_s: float, fixed_s: float) -> None:
        """`fixed_s`: of a prefill."""
        rate = self._replies / max(interval_s, _LEAST_INTERVAL_S)
        self._replies = 0
        self._per_s += _SMOOTHING * (rate - self._per_s)
        self._decoding += _SMOOTHING * ((sample.running_requests or 0) - self._decoding)
        worth = self._per_s * self._decoding * max(0.0, fixed_s)
        self.calls = min(_MOST_TOGETHER, int((1 + math.sqrt(1 + 8 * worth)) / 2))
        self.hold_s = _PATIENCE * (self.calls - 1) / self._per_s if self.calls > 1 else 0.0
