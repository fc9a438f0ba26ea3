"""Counts of values by size, as Prometheus has them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left


class Histogram:
    """Counts of values by upper bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last one: above all bounds

    def observe(self, value: float, times: int = 1) -> None:
        """The same value so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.total += value * times

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with the number of values up to it."""
        buckets, below = [], 0
        for bound, count in zip((*self._bounds, math.inf), list(self._counts), strict=True):
            below += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), float(below)))
        return buckets
