"""Append-only JSON lines: one segment per writing process, every record handed to the operating system before going on.

A killed process loses nothing that was written; only a power failure can take the last seconds.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.records import Record, encoder

FOLDER = "journal"


def segments(run_directory: Path) -> list[Path]:
    """The segments of a run, oldest first; empty where there is no journal. Raises RunDirectoryError where it cannot be read, or one is
    missing: what that holds would count as never done.
    """
    folder = run_directory / FOLDER
    try:
        with os.scandir(folder) as entries:  # `Path.glob` takes a folder that may not be read for an empty one
            paths = sorted(folder / entry.name for entry in entries if entry.name.endswith(".jsonl"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunDirectoryError(f"{folder}: cannot be read ({error.strerror}); mend its permissions") from error
    for number, path in enumerate(paths, start=1):
        if path.stem.isdecimal() and path.name > _name(number):
            raise RunDirectoryError(f"{folder}: segment {_name(number)} is missing, and with it what was done in it; put it back")
    return paths


def _name(number: int) -> str:
    return f"{number:06d}.jsonl"


class JournalWriter:
    """One new segment. `write` either has written the whole record or raises RunDirectoryError.

    `mend`: what the user can do about that; None: what helps with a run, which can be resumed.
    """

    def __init__(self, run_directory: Path, *, mend: str | None = None) -> None:
        folder = run_directory / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = int(segments(run_directory)[-1].stem) + 1 if segments(run_directory) else 1
            self.path = folder / _name(number)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        except (OSError, ValueError) as error:
            raise RunDirectoryError(
                f"{folder}: cannot begin a journal segment there ({error}); mend that, and give the same command again"
            ) from error
        resume = f"concur resume {shlex.quote(str(run_directory))}"
        self._mend = mend or f"all steps before are safe: mend that and go on with: {resume}"
        self._buffer = bytearray()
        self._broken = False

    def write(self, record: Record) -> None:
        """Append one line. Raises RunDirectoryError when the disk is full or gone; nothing may be written after that."""
        if self._broken:
            return
        buffer = self._buffer
        try:
            encoder.encode_into(record, buffer)
        except UnicodeEncodeError:  # a lone surrogate in what an agent said: no UTF-8 file can hold it
            buffer[:] = encoder.encode(_writable(msgspec.to_builtins(record)))
        buffer += b"\n"
        try:
            written = os.write(self._fd, buffer)
            if written != len(buffer):  # a full disk first takes a part, then refuses
                view = memoryview(buffer)
                while written < len(buffer):
                    written += os.write(self._fd, view[written:])
                view.release()
        except OSError as error:
            self._broken = True
            raise RunDirectoryError(f"{self.path}: cannot write ({error.strerror}); {self._mend}") from error

    def close(self) -> None:
        """Close the segment. Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _writable(value: Any) -> Any:
    """The same with what UTF-8 cannot hold replaced by question marks."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [_writable(item) for item in value]
        case dict():
            return {_writable(key): _writable(item) for key, item in value.items()}
        case _:
            return value
