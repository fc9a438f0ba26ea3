"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from concur_batch.errors import RunDirectoryError

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)  # of file systems that sync files alone


@contextmanager
def replacing(path: Path, mend: str | None = None) -> Iterator[BinaryIO]:
    """A file open for writing that takes the place of `path` when the block ends well, on disk before it does.

    Otherwise what stood there stands as before. Raises RunDirectoryError where the file system refuses. `mend`: what the
    user can do about that; None: what helps with a file of a run, which can be resumed.
    """
    beside = path.with_name(f".{path.name}.part")  # one name: what a killed writer left is overwritten by the next
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        resume = f"`concur resume {shlex.quote(str(path.parent))}` writes it from the journal"
        mend = mend or f"nothing is lost: once that is mended, {resume}"
        raise RunDirectoryError(f"{path} could not be written ({error.strerror or error}); {mend}") from error
    finally:
        with suppress(OSError):  # gone already, or the file system takes nothing: the next writer opens it anew
            beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
