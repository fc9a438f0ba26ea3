"""Standard streams: what a missing or broken one means, and standard output for programs, whole lines of bytes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, ClassVar, TextIO

from concur_batch.errors import RunDirectoryError


def prepare() -> None:
    """What a stream lacks ends no run: a character of its encoding, its reader, room on its disk, or the stream itself."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # closed: a file of ours would take its number, and be written to by what is said
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as Python opens it
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    sys.stdout = _by(_Output, 1, sys.stdout)
    sys.stderr = _by(_Forgiving, 2, sys.stderr)


def _by(kind: type[io.FileIO], fd: int, stream: TextIO) -> TextIO:
    """The same stream, written by such a file."""
    if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != fd:
        return stream
    by_lines = fd == 2 or stream.line_buffering or stream.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(kind(fd, "w", closefd=False)), stream.encoding, stream.errors, line_buffering=by_lines
    )


class _Forgiving(io.FileIO):
    """What cannot be written to it is let go."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


class _Output(io.FileIO):
    """Standard output. That it takes no more is told once, and what is written from then on is let go.

    That its reader has left is told only while what is written `is_all`: else there is more to do, and the rest is let go.
    """

    is_all: ClassVar[bool] = False  # of what the program does
    was_told: ClassVar[bool] = False
    fault: ClassVar[OSError | None] = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            left = isinstance(error, BrokenPipeError) and not _Output.is_all
            if not left and not _Output.was_told:
                _Output.was_told = True
                _Output.fault = error
                raise _NotWritten(error.errno, error.strerror) from error
        return memoryview(data).nbytes


class _NotWritten(OSError):
    """Standard output takes no more."""


@contextmanager
def written() -> Iterator[None]:
    """Around the whole program: what it printed is written when it ends. Raises RunDirectoryError where that cannot be."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except _NotWritten as error:
        raise _no_room(error) from error
    finally:
        _Output.was_told = True  # Python writes what is left when it ends


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Where its reader goes away, that is the end of it and no fault. Raises RunDirectoryError where it cannot be written."""
    with printing():
        yield sys.stdout.buffer


@contextmanager
def printing() -> Iterator[None]:
    """The same for what is printed inside, where that may be long and is all that is left to do."""
    _Output.is_all = True
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise SystemExit(0) from None
        if error.filename is not None:  # another file's
            raise
        raise _no_room(error) from error
    finally:
        _Output.is_all = False


def unwritten() -> RunDirectoryError | None:
    """What became of standard output, for one who let that go as there was more to do. None: it was written, or its reader has left."""
    fault = _Output.fault
    return None if fault is None or fault.errno == errno.EIO else _no_room(fault)  # EIO: a terminal that is closed


def _no_room(error: OSError) -> RunDirectoryError:
    return RunDirectoryError(f"standard output could not be written ({error.strerror or error})")
