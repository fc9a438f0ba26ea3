"""Standard streams: what a missing or broken one means, and standard output for programs, whole lines of bytes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

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
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr.fileno() == 2:
        raw = io.BufferedWriter(_Forgiving(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, sys.stderr.encoding, sys.stderr.errors, line_buffering=True)


class _Forgiving(io.FileIO):
    """What cannot be written to it is let go."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Where its reader goes away, that is the end of it and no fault. Raises RunDirectoryError where it cannot be written."""
    with printing():
        yield sys.stdout.buffer


@contextmanager
def printing() -> Iterator[None]:
    """The same for what is printed inside, also by rich."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except SystemExit:  # rich raises it for the same
        raise SystemExit(0) from None
    except OSError as error:
        if error.filename is not None:  # another file's
            raise
        raise RunDirectoryError(f"standard output could not be written ({error.strerror or error})") from error
