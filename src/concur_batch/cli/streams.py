"""Standard output for programs: whole lines of bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from concur_batch.errors import RunDirectoryError


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Where its reader goes away, that is the end of it and no fault."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        raise RunDirectoryError(f"standard output could not be written ({error.strerror or error})") from error
