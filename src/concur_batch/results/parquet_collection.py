"""The rollouts that a `results.parquet` holds, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from concur_batch.errors import RunDirectoryError
from concur_batch.results.collection import Found
from concur_batch.results.columns import COLUMNS, LATER, row_of
from concur_batch.results.rows import ResultRow
from concur_batch.results.selection import Head

_CHUNK = 64  # rows that are turned from columns at a time
_NEEDED = {name for name, _ in COLUMNS}.difference(LATER)


class ParquetCollection:
    """Holds one row group at a time. Raises RunDirectoryError where the file cannot be read."""

    def __init__(self, path: Path, unended: int = 0, *, has_journal: bool = False) -> None:
        self.unended = unended
        self._path = path
        self._has_journal = has_journal
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
        mend = "remove it, and its rows are taken from the run's journal"
        if not self._has_journal:
            mend = "put a sound copy in its place: there is no journal to take its rows from"
        return RunDirectoryError(f"{self._path}: cannot be read ({error}); {mend}")
