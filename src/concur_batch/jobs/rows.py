"""All rows of a job in the order of its files, as tasks; the one way that every pass over a job reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from concur_batch.errors import InputError
from concur_batch.jobs.faults import Fault
from concur_batch.jobs.lines import Located
from concur_batch.jobs.schema import RowSchema, id_of
from concur_batch.jobs.sources import Source, read_rows
from concur_batch.jobs.to_task import AbsentId
from concur_batch.task import Task


class Read(NamedTuple):
    """One row, as it stood in the file and as a task."""

    file: int  # position among the sources
    located: Located
    task: Task


class Refused(NamedTuple):
    """A row, or a whole file, with all that is wrong with it."""

    faults: list[Fault]
    id: str | None = None  # that the row brings all the same
    where: str = ""


def where_prefix(source: Source) -> str:
    """What stands before the line number when people are told of a row."""
    return f"{source.name}:row " if source.kind == "parquet" else f"{source.name}:"


def read_tasks(sources: Sequence[Source], schema: RowSchema, absent_id: AbsentId) -> Iterator[Read | Refused]:
    """Every row in order, a faulty one with its faults. A file without any row is a fault, too."""
    index = 0
    own_schema = schema.own_by_default
    for number, source in enumerate(sources):
        prefix = where_prefix(source)
        is_bare = True
        for item in read_rows(source, own_schema=own_schema):
            is_bare = False
            if isinstance(item, Fault):
                yield Refused([item])
                continue
            where = f"{prefix}{item.line}"
            task = schema.task(item.row, index, where, absent_id)
            index += 1
            yield Refused(task, id_of(item.row), where) if isinstance(task, list) else Read(number, item, task)
        if is_bare:
            yield Refused([Fault(source.name, "", "has no rows; should hold at least one task")])


def changed_since_checked(fault: Fault) -> InputError:
    """The error for a row that passed the check and no longer does."""
    return InputError(f"{fault} (the job file has changed since it was checked; leave it alone while the run goes on)")
