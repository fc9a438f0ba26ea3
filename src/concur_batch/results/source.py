"""What results ask of a journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from concur_batch.records import Record


class PositionedRecords(Protocol):
    """All records of a run, read once in order and then singly."""

    def positioned(self) -> Iterator[tuple[int, Record]]:
        """Every record of every segment, in order, with an opaque position (0 to 2**63 - 1)."""
        ...

    def at(self, position: int) -> Record:
        """The record that `positioned` gave with this position."""
        ...
