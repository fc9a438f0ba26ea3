"""Checks a whole job in one streaming pass and hands back what can be run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.jobs.faults import Fault, FaultList
from concur_batch.jobs.ids import IdBook
from concur_batch.jobs.index import IndexWriter
from concur_batch.jobs.job import Job, Selection, Shuffle
from concur_batch.jobs.rows import Read, read_tasks
from concur_batch.jobs.schema import RowSchema, SchemaOptions
from concur_batch.jobs.shuffled import RowTable, permutation
from concur_batch.jobs.sources import Source, find_sources

_INDEX_FILE = "checked-job.index"
_SHUFFLE_FILE = "shuffled-rows.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions(SchemaOptions):
    """What rows are checked against, and which tasks are taken."""

    n: int = 1  # rollouts of a task that does not say
    limit: int | None = None  # at most so many tasks, of the filtered and shuffled ones
    filter: str | None = None  # regular expression, searched in the id
    shuffle: int | None = None  # seed of the running order


def load(
    named: Sequence[str],
    options: LoadOptions,
    *,
    spool: Path | None = None,
    with_index: bool = False,
    stdin: IO[bytes] | None = None,
) -> Job:
    """Read every row of the named files (globs, and `-` for standard input) once, and raise JobFaults for what is wrong.

    `spool` is an existing folder for what must be written down: standard input (kept there, and read from there the next
    time), rows that cannot be sought when shuffled, and with `with_index` the index that `write_index` then needs no second
    pass for. Without it a temporary folder serves until the job is closed.
    """
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit} leaves no task; should be 1 or more")
    selection = Selection(pattern=_pattern(options.filter), limit=options.limit)
    folder, clean = _spool_folder(spool)
    try:
        sources = find_sources(named, folder, stdin)
        return _check(sources, options, selection, folder, clean, with_index=with_index)
    except OSError as error:  # of the job files themselves every error is a fault; what is left is writing
        clean()
        raise RunDirectoryError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another --out"
        ) from error
    except BaseException:
        clean()
        raise


def _check(
    sources: Sequence[Source],
    options: LoadOptions,
    selection: Selection,
    folder: Path,
    clean: Callable[[], None],
    *,
    with_index: bool,
) -> Job:
    schema = RowSchema(options)
    book = IdBook()
    faults = FaultList()
    table = None if options.shuffle is None else RowTable(sources, folder / _SHUFFLE_FILE)
    whole_pass = table is None or selection.limit is None  # else which rows are taken is known only after the pass
    index = IndexWriter(folder / _INDEX_FILE) if with_index and whole_pass else None
    tasks = rollouts = 0
    with index or nullcontext(), nullcontext() if table is None else table:  # an empty table is false
        for item in read_tasks(sources, schema, book.name_absent):
            if isinstance(item, list):
                for fault in item:
                    faults.add(fault)
                continue
            task = item.task
            book.add(task.id, task.source)
            if faults or not selection.takes(task.id) or (table is None and tasks == selection.limit):
                continue
            n = options.n if task.n is None else task.n
            tasks += 1
            rollouts += n
            if index is not None:
                index.add(task, n)
            if table is not None:
                table.append(item, n)
    _add_doubles(faults, book, sources, schema)
    faults.raise_if_any()
    if not tasks:
        raise InputError(f"no task is selected: --filter {options.filter!r} matches no id; correct it or leave it out")
    shuffle = None
    if table is not None and options.shuffle is not None:
        shuffle = Shuffle(table=table, order=permutation(len(table), options.shuffle, selection.limit))
        tasks, rollouts = len(shuffle.order), table.rollouts(shuffle.order)
    return Job(
        sources,
        schema,
        book.absent,
        selection=selection,
        shuffle=shuffle,
        default_n=options.n,
        tasks=tasks,
        rollouts=rollouts,
        index_file=None if index is None else index.path,
        clean=clean,
    )


def _add_doubles(faults: FaultList, book: IdBook, sources: Sequence[Source], schema: RowSchema) -> None:
    """Ids whose hashes met twice are looked up in a second pass, which also finds the first place."""
    first: dict[str, str] = dict.fromkeys((double.id for double in book.doubles), "")
    open_ids = len(first)
    if not first:
        return
    for item in read_tasks(sources, schema, book.absent.name):
        if isinstance(item, Read) and first.get(item.task.id) == "":
            first[item.task.id] = item.task.source
            open_ids -= 1
            if not open_ids:
                break
    for double in book.doubles:
        if first[double.id] != double.where:  # equal: only the hashes met
            text = f'"{double.id}" already stands at {first[double.id]}; every task needs an id of its own'
            faults.add(Fault(double.where, "id", text))
    faults.more += book.more_doubles


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InputError(f"--filter {text!r} is not a regular expression ({error}); correct it") from error


def _spool_folder(spool: Path | None) -> tuple[Path, Callable[[], None]]:
    """A folder to write in, and what removes the traces."""
    if spool is None:
        temporary = tempfile.TemporaryDirectory(prefix="concur-")
        return Path(temporary.name), temporary.cleanup

    def clean() -> None:
        for name in (_INDEX_FILE, _SHUFFLE_FILE):
            (spool / name).unlink(missing_ok=True)

    return spool, clean
