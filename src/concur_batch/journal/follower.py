"""Follow a journal that another process writes, perhaps on another node: by looking again, which any file system allows.

Files are opened anew for each look, because that is when a shared file system tells what others have written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.journal.broken import broken
from concur_batch.journal.slim import SlimState, decode_lines
from concur_batch.journal.writer import segments

BLOCK_BYTES = 1 << 18  # what stays in a processor's cache folds fastest
PATIENCE = 6  # looks, in which what cannot be read may still become whole


class Follower:
    """`more` gives what is new, in order. It only reads, so that any number may follow a run at once."""

    def __init__(self, run_directory: Path, *, patience: int = PATIENCE, block_bytes: int = BLOCK_BYTES) -> None:
        self._directory = run_directory
        self._patience = patience
        self._block_bytes = block_bytes
        self.forgets = 0
        """How often the journal was found to be another one: what came before is then void, and `more` begins anew."""
        self.written = 0.0
        """When the file that was read last was last written to, in seconds since 1970."""
        self._begin()

    def _begin(self) -> None:
        self._path: Path | None = None  # of the segment that is being read
        self._inode = 0
        self._offset = self._lines = 0  # read of it
        self._before_bytes = 0  # read of earlier segments
        self._doubts = 0  # looks at the same fault, in a row

    def more(self) -> list[Any]:
        """Records of the next block, for a `SlimState`; none: there are no more for now, so look again later.

        A torn last line is waited for, and left out once another segment follows. Raises RunDirectoryError for what stays
        broken, and for a segment that is missing.
        """
        if self._path is None:
            self._path = next(iter(segments(self._directory)), None)
        while self._path is not None:
            records = self._look(self._path)
            if records or self._doubts or self._path is None:
                return records
            after = [path for path in segments(self._directory) if path > self._path]
            if not after:
                return []
            records = self._look(self._path)  # once more: only what is there when the next one is, is all of it
            if records or self._doubts or self._path is None:
                return records
            self._before_bytes += self._offset
            self._path, self._inode, self._offset, self._lines = after[0], 0, 0, 0
        return []

    @property
    def share(self) -> float:
        """How much of what is there has been read, 0..1."""
        try:
            there = sum(path.stat().st_size for path in segments(self._directory))
        except (OSError, RunDirectoryError):
            return 0.0
        return min(1.0, (self._before_bytes + self._offset) / there) if there else 0.0

    def _look(self, path: Path) -> list[Any]:
        """What `_read` gives; of what is gone or another file, nothing, and all is forgotten."""
        try:
            records = self._read(path)
        except FileNotFoundError:
            records = None
        except OSError as error:
            self._doubt(RunDirectoryError(f"{path}: cannot be read ({error.strerror}); see that it may be read here"))
            return []
        if records is None:
            self._begin()
            self.forgets += 1
        return records or []

    def _read(self, path: Path) -> list[Any] | None:
        """None: it is not the file that it was."""
        with path.open("rb") as file:
            block = _whole_lines(file, self._offset, self._block_bytes)
            status = os.fstat(file.fileno())
        if (self._inode and status.st_ino != self._inode) or status.st_size < self._offset:
            return None
        self._inode, self.written = status.st_ino, status.st_mtime
        if not block:
            self._doubts = 0
            return []
        try:
            records = decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._up_to_the_fault(block, path)
        self._took(block)
        return records

    def _took(self, block: bytes) -> None:
        self._offset += len(block)
        self._lines += block.count(b"\n")
        self._doubts = 0

    def _up_to_the_fault(self, block: bytes, path: Path) -> list[Any]:
        """A file system may show a line before its content: it is looked at again before it is called broken."""
        records: list[Any] = []
        for line in block.split(b"\n")[:-1]:
            try:
                records += decode_lines(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not records:
                    self._doubt(broken(line, path, self._lines + 1, error))
                break
            self._took(line + b"\n")
        return records

    def _doubt(self, error: RunDirectoryError) -> None:
        self._doubts += 1
        if self._doubts > self._patience:
            raise error


def _whole_lines(file: Any, offset: int, most_bytes: int) -> bytes:
    """From `offset` on: about so many bytes, at least one line, without a torn last one. Empty: there is no whole line."""
    file.seek(offset)
    block: bytes = file.read(most_bytes)
    while True:
        end = block.rfind(b"\n") + 1
        if end:
            return block[:end]
        more = file.read(most_bytes)
        if not more:
            return b""
        block += more


def fold_journal(run_directory: Path) -> SlimState:
    """The state after all that a run has written so far. Raises RunDirectoryError for a broken line."""
    state, follower = SlimState(), Follower(run_directory, patience=0)
    while records := follower.more():
        for record in records:
            state.apply(record)
    return state
