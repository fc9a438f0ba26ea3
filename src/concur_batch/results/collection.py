"""The rollouts of a run that have ended, in job order: from its journal, or from `results.parquet` where that is whole.

Each comes as its head and a function that makes its row, so that what is left out costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.results.columns import COLUMNS, row_of
from concur_batch.results.index import RolloutIndex, Trace
from concur_batch.results.rows import ResultRow, result_row
from concur_batch.results.selection import Head
from concur_batch.results.source import PositionedRecords

_CHUNK = 64  # rows that are turned from columns at a time
_NEEDED = {name for name, _ in COLUMNS} - {"context_tokens"}  # which older versions do not write


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


class ParquetCollection:
    """Holds one row group at a time. Raises RunDirectoryError where the file cannot be read."""

    def __init__(self, path: Path, unended: int = 0) -> None:
        self.unended = unended
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
            missing = _NEEDED - set(self._file.schema_arrow.names)
        except (OSError, pa.ArrowException) as error:
            raise self._broken(error) from error
        if missing:
            raise self._broken(ValueError(f"it lacks the column {min(missing)}"))
        self._chunk: tuple[int, int, list[dict[str, Any]]] = (-1, 0, [])
        self._group: tuple[int, Any] = (-1, None)

    def __iter__(self) -> Iterator[Found]:
        for group in range(self._file.num_row_groups):
            heads = self._read(group, ["id", "rollout", "status", "error"]).to_pylist()
            for place, head in enumerate(heads):
                error = head["error"]
                short = Head(head["id"], head["rollout"], head["status"], error["class"] if error else None)
                yield Found(short, partial(self._row, group, place))

    def _row(self, group: int, place: int) -> ResultRow:
        held, first, rows = self._chunk
        if held != group or not first <= place < first + len(rows):
            if self._group[0] != group:
                self._group = (group, self._read(group, None))
            first = place
            rows = self._group[1].slice(first, _CHUNK).to_pylist()
            self._chunk = (group, first, rows)
        try:
            return row_of(rows[place - first])
        except msgspec.MsgspecError as error:
            raise self._broken(error) from error

    def _read(self, group: int, columns: list[str] | None) -> Any:
        try:
            return self._file.read_row_group(group, columns=columns)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> RunDirectoryError:
        return RunDirectoryError(
            f"{self._path}: cannot be read ({error}); remove it, and its rows are taken from the run's journal"
        )
