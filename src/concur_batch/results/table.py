"""A Parquet file written row by row in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 10_000
GROUP_BYTES = 8 * 2**20  # of text, before compression

Columns: TypeAlias = list[tuple[str, Any]]
"""Names and Arrow types."""

MOMENT = pa.timestamp("us")
"""Dates in UTC, without a zone of their own: DuckDB cannot hand zoned ones to Python without a further package."""


class Table:
    """`append` rows; they are written as row groups."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self.rows = 0
        self._writer = writer
        self._schema = schema
        self._held: list[dict[str, Any]] = []
        self._held_bytes = 0

    def append(self, row: dict[str, Any], size: int = 0) -> None:
        """Add a row; columns that it lacks are null. `size`: bytes of its long texts."""
        self._held.append(row)
        self._held_bytes += size
        self.rows += 1
        if len(self._held) >= GROUP_ROWS or self._held_bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held as one row group; none where nothing is held, as an empty first group stops `datasets`."""
        if not self._held:
            return
        self._writer.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
        self._held.clear()
        self._held_bytes = 0


@contextmanager
def table(file: BinaryIO, columns: Columns, words: list[str]) -> Iterator[Table]:
    """A Parquet table in `file`, which stays open. `words`: columns with few different values."""
    schema = pa.schema(columns)
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=words) as writer:
        rows = Table(writer, schema)
        yield rows
        rows.flush()
