"""Which share of their remaining tokens running requests are expected to generate (`new_token_ratio_tracker.py`)."""

from __future__ import annotations

from collections.abc import Iterable

from concur_batch.sim.call import Call

_INIT = 0.7  # SGLANG_INIT_NEW_TOKEN_RATIO
_LEAST_FACTOR = 0.14  # SGLANG_MIN_NEW_TOKEN_RATIO_FACTOR
_DECAY_STEPS = 600  # SGLANG_NEW_TOKEN_RATIO_DECAY_STEPS
RETRACT_STEPS = 20  # SGLANG_RETRACT_DECODE_STEPS


class NewTokenRatio:
    """Starts high, decays with every decode step, is estimated anew after a retraction, and starts over when the engine idles."""

    def __init__(self, conservativeness: float = 1.0) -> None:
        self.first = min(_INIT * conservativeness, 1.0)
        self.least = min(self.first * _LEAST_FACTOR, 1.0)
        self._decay = (self.first - self.least) / _DECAY_STEPS
        self.current = self.first

    def decay(self, steps: int = 1) -> None:
        """So many decode steps have gone by."""
        self.current = max(self.current - steps * self._decay, self.least)

    def after_retraction(self, left: Iterable[Call]) -> None:
        """From what the requests that stay have generated so far."""
        left = list(left)
        generated = sum(call.generated for call in left)
        self.current = min(1.0, (generated + RETRACT_STEPS * len(left)) / (sum(call.max_new for call in left) + 1))

    def reset(self) -> None:
        """The engine is idle."""
        self.current = self.first
