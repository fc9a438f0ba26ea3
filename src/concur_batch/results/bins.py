"""Sums over time in a bounded number of equal bins: a run may be as long as it likes. Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

MOST_BINS = 2_048


class Bins:
    """`rows[i]` holds `fields` sums over the seconds from `i * width` to `(i + 1) * width`.

    When more than `most` bins are needed, neighbours are added up in pairs and `width` doubles.
    """

    def __init__(self, fields: int, *, width: float = 1.0, most: int = MOST_BINS) -> None:
        self.rows: list[list[float]] = []
        self.width = width
        self.end = 0.0  # of the latest span
        self._fields = fields
        self._most = most

    def add(self, start: float, end: float, sums: Sequence[float]) -> None:
        """Spread sums evenly over the seconds from `start` to `end`; of no length, all goes into the bin that ends there."""
        while end > self.width * self._most:
            self._merge()
        self.end = max(self.end, end)
        first, last = self._bin_from(start), self._bin_to(end)
        while len(self.rows) <= last:
            self.rows.append([0.0] * self._fields)
        if first >= last:
            self._put(last, sums, 1.0)
            return
        span = end - start
        for i in range(first, last + 1):
            inside = min(end, (i + 1) * self.width) - max(start, i * self.width)
            self._put(i, sums, max(0.0, inside) / span)

    def resampled(self, columns: int) -> Bins:
        """The same sums in `columns` bins of equal width from 0 to `end`; none where nothing was added."""
        if not self.rows or self.end <= 0:
            return Bins(self._fields)
        columns = max(1, columns)
        width = max(self.end / columns, sys.float_info.min)  # else 0 where the end is next to nothing, which no doubling mends
        coarse = Bins(self._fields, width=width, most=columns + 1)  # one more: rounding may reach beyond the end
        for i, row in enumerate(self.rows):
            coarse.add(min(i * self.width, self.end), min((i + 1) * self.width, self.end), row)
        coarse._fold_into(columns)
        return coarse

    def _fold_into(self, columns: int) -> None:
        for row in self.rows[columns:]:
            self._put(columns - 1, row, 1.0)
        del self.rows[columns:]
        while len(self.rows) < columns:
            self.rows.append([0.0] * self._fields)

    def _bin_from(self, moment: float) -> int:
        return max(0, math.floor(moment / self.width))

    def _bin_to(self, moment: float) -> int:
        return max(0, math.ceil(moment / self.width) - 1)

    def _put(self, i: int, sums: Sequence[float], share: float) -> None:
        row = self.rows[i]
        for field, amount in enumerate(sums):
            row[field] += amount * share

    def _merge(self) -> None:
        if len(self.rows) % 2:
            self.rows.append([0.0] * self._fields)
        pairs = zip(self.rows[::2], self.rows[1::2], strict=True)
        self.rows = [[a + b for a, b in zip(left, right, strict=True)] for left, right in pairs]
        self.width *= 2
