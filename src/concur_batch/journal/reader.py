"""Read the segments of a run, whole or one record at a time, also beside a process that writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.journal.broken import broken
from concur_batch.journal.writer import segments
from concur_batch.records import Record, decoder

_OFFSET_BITS = 44  # a position is segment << 44 | byte offset: 16 TB per segment


class JournalReader:
    """All records of a run directory, in order. A torn last line of a segment is left out; any other broken line is an error.

    Raises RunDirectoryError for that, and for a segment that cannot be read.
    """

    def __init__(self, run_directory: Path) -> None:
        self._paths = segments(run_directory)
        self._open: dict[int, BinaryIO] = {}

    def records(self) -> Iterator[Record]:
        """All records of all segments."""
        return (record for _, record in self.positioned())

    def positioned(self) -> Iterator[tuple[int, Record]]:
        """All records, each with its position for `at`."""
        for index, path in enumerate(self._paths):
            offset = 0
            with _reading(path), path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):
                        break  # torn by a kill or a full disk, or being written now
                    if not line.isspace():
                        yield index << _OFFSET_BITS | offset, _decode(line, path, number)
                    offset += len(line)

    def at(self, position: int) -> Record:
        """The record at a position that `positioned` gave."""
        index = position >> _OFFSET_BITS
        with _reading(self._paths[index]):
            file = self._open.get(index)
            if file is None:
                file = self._open[index] = self._paths[index].open("rb")
            file.seek(position & ((1 << _OFFSET_BITS) - 1))
            return decoder.decode(file.readline())

    def close(self) -> None:
        """Close what `at` opened."""
        for file in self._open.values():
            file.close()
        self._open.clear()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror or error}); see that it may be read here") from error


def _decode(line: bytes, path: Path, number: int) -> Record:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise broken(line, path, number, error) from error
