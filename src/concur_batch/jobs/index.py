"""The index of a job: one short line per task in job order, by which a resumed run knows its job again.

JSON lines, `["fingerprint",rollouts,"id","file:line"]`, after a line that names the form. It is also the order of results.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.jobs.job import Job
from concur_batch.task import Task

_FORM = b'"concur job index 1"\n'
_ANEW = "`concur resume` makes it anew from the job files, which must be as they were"
_REMOVE = f"remove that file ({_ANEW})"


class Entry(NamedTuple):
    """One task as the index knows it."""

    fingerprint: str
    n: int
    id: str
    where: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class IndexWriter:
    """Writes an index line by line; the file is whole only after the `with` block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=1 << 18)
        self._file.write(_FORM)

    def add(self, task: Task, n: int) -> None:
        """The next task in job order, with its number of rollouts."""
        self._file.write(_encode((task.fingerprint, n, task.id, task.source)) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def write_index(job: Job, path: Path) -> None:
    """Put the job's index at `path`, in one move. Taken from the check where it was made there, else by one more pass.

    Raises RunDirectoryError where it cannot be written.
    """
    whole = path.with_name(f"{path.name}.new")
    try:
        if job.index_file is not None:
            shutil.copyfile(job.index_file, whole)
        else:
            with IndexWriter(whole) as writer:
                for task in job.in_job_order():
                    writer.add(task, job.n(task))
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        whole.replace(path)
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror or error}); mend that, and give the same command again"
        ) from error


def read_entries(path: Path) -> Iterator[Entry]:
    """The lines of an index, streamed. Raises RunDirectoryError where it is missing or broken."""
    try:
        with path.open("rb") as file:
            if file.readline() != _FORM:
                raise RunDirectoryError(f"{path}: is not a job index of this version of concur; {_REMOVE}")
            for number, line in enumerate(file, start=2):
                try:
                    yield _decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise RunDirectoryError(f"{path}:{number}: the job index is broken here; {_REMOVE}") from error
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path}: the job index is missing; {_ANEW}") from error
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror or error}); mend its permissions") from error


def read_index(path: Path) -> Iterator[tuple[str, int]]:
    """(task id, number of rollouts) in job order."""
    return ((entry.id, entry.n) for entry in read_entries(path))


def entries(job: Job) -> Iterable[Entry]:
    """What the job's index holds or would hold, streamed."""
    if job.index_file is not None:
        return read_entries(job.index_file)
    return (Entry(task.fingerprint, job.n(task), task.id, task.source) for task in job.in_job_order())
