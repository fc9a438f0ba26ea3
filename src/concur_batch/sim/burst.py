"""Decode steps of an unchanging batch, computed at once."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Burst:
    """`steps` decode steps. A step takes `fixed` seconds and `slope` per token of context, which grows by `size` with each."""

    start: float  # engine seconds
    size: int  # requests
    fixed: float
    slope: float
    context: int  # tokens, in the first step
    steps: int

    def end(self, m: int) -> float:
        """When step m (from 1) is over."""
        return self.start + m * self.fixed + self.slope * (self.context * m + self.size * m * (m - 1) / 2)

    def ended_by(self, now: float) -> int:
        """How many steps are over."""
        left = now - self.start
        if left <= 0:
            return 0
        a = self.slope * self.size / 2
        b = self.fixed + self.slope * self.context - a
        if a > 0:
            m = int((math.sqrt(b * b + 4 * a * left) - b) / (2 * a))
        elif b > 0:
            m = int(left / b)
        else:  # an engine that takes no time
            m = self.steps
        m = max(0, min(m, self.steps))
        while m < self.steps and self.end(m + 1) <= now:  # what rounding has taken
            m += 1
        while m and self.end(m) > now:
            m -= 1
        return m

    def advance(self, m: int) -> None:
        """The first m steps have been dealt with."""
        self.start = self.end(m)
        self.context += self.size * m
        self.steps -= m
