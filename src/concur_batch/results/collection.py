"""The rollouts of a run that have ended, in job order: each as its head and a function that makes its row, so that what is left
out costs nothing. Here from a journal; `parquet_collection.py` from `results.parquet`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from concur_batch import records as r
from concur_batch.results.index import RolloutIndex, Trace
from concur_batch.results.rows import ResultRow, result_row
from concur_batch.results.selection import Head
from concur_batch.results.source import PositionedRecords


class Found(NamedTuple):
    """One of them. `row` may be called until the next one is taken."""

    head: Head
    row: Callable[[], ResultRow]


class Collection(Protocol):
    """Iterate once."""

    @property
    def unended(self) -> int:
        """Rollouts of the run that are not in it."""
        ...

    def __iter__(self) -> Iterator[Found]:
        """All, in job order."""
        ...


class JournalCollection:
    """Reads the journal once; memory grows by 8 bytes per reply and observation and by a small entry per rollout."""

    def __init__(self, source: PositionedRecords, order: Iterable[tuple[str, int]] | None = None) -> None:
        self._source = source
        self._order = order
        self._index = RolloutIndex()
        self._ends: dict[str, tuple[str, str | None]] = {}
        total, epoch = 0, 0.0
        for position, record in source.positioned():
            if isinstance(record, r.SegmentStarted):
                epoch = record.epoch
            elif isinstance(record, r.BatchLoaded):
                total = record.rollouts
            elif isinstance(record, r.RolloutFinished):
                error = sys.intern(record.error.error_class) if record.error is not None else None
                self._ends[record.rollout] = (sys.intern(record.status), error)
            elif isinstance(record, r.RolloutStarted):
                self._ends.pop(record.rollout, None)
            self._index.add(position, record, epoch)
        self.unended = max(0, total - len(self._ends))

    def __iter__(self) -> Iterator[Found]:
        for rollout, trace in self._index.drain(self._order):
            head = Head(rollout.rpartition("#")[0], trace.k, *self._ends[rollout])
            yield Found(head, partial(self._row, rollout, trace))

    def _row(self, rollout: str, trace: Trace) -> ResultRow:
        return result_row(rollout, trace, map(self._source.at, trace.positions))
