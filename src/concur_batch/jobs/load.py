"""Checks a whole job in one streaming pass and hands back what can be run."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.jobs.faults import Fault, FaultList
from concur_batch.jobs.ids import IdBook
from concur_batch.jobs.index import IndexWriter
from concur_batch.jobs.job import Job, Selection
from concur_batch.jobs.ordered import LongInTime, Ordering, RowTable, Shuffled
from concur_batch.jobs.rows import Read, Refused, changed_since_checked, read_tasks
from concur_batch.jobs.schema import RowSchema, SchemaOptions
from concur_batch.jobs.sources import Source, find_sources

_INDEX_FILE = "checked-job.index"
_ROWS_FILE = "ordered-rows.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions(SchemaOptions):
    """What rows are checked against, and which tasks are taken."""

    n: int = 1  # rollouts of a task that does not say
    limit: int | None = None  # at most so many tasks, of the filtered and shuffled ones
    filter: str | None = None  # regular expression, searched in the id
    shuffle: int | None = None  # seed of the running order
    long_in_time: bool = False  # start long ones early enough, where tasks have expected tokens; not together with shuffle


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
    time), rows that cannot be sought when run in another order, and with `with_index` the index that `write_index` then needs no second
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
            f"{folder}: cannot be written ({error.strerror or error}); mend that, and give the same command again"
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
    shuffled = options.shuffle is not None
    whole_pass = not shuffled or selection.limit is None  # else which rows are taken is known only after the pass
    index = IndexWriter(folder / _INDEX_FILE) if with_index and whole_pass else None
    table = RowTable(sources, folder / _ROWS_FILE)
    ordering = _ordering(table, sources, schema, book, selection, options)
    tasks = rollouts = hinted = 0
    models: Counter[str] = Counter()
    with index or nullcontext(), table:
        for item in read_tasks(sources, schema, book.name_absent):
            if isinstance(item, Refused):
                for fault in item.faults:
                    faults.add(fault)
                if item.id is not None:
                    book.add(item.id, item.where, len(faults))
                continue
            task = item.task
            book.add(task.id, task.source, len(faults))
            if faults or not selection.takes(task.id) or (tasks == selection.limit and not shuffled):
                continue
            n = options.n if task.n is None else task.n
            tasks += 1
            rollouts += n
            hinted += task.expected_tokens is not None
            if task.model is not None:
                models[task.model] += 1
            if index is not None:
                index.add(task, n)
            if ordering is not None:
                ordering.append(item, n)
    _add_doubles(faults, book, sources, schema)
    faults.raise_if_any()
    if not tasks:
        raise InputError(f"no task is selected: --filter {options.filter!r} matches no id; correct it or leave it out")
    order = None if ordering is None else ordering.order()
    if order is not None:
        tasks, rollouts = len(order.positions), table.rollouts(order.positions)
    return Job(
        sources,
        schema,
        book.absent,
        selection=selection,
        order=order,
        default_n=options.n,
        tasks=tasks,
        rollouts=rollouts,
        hinted=hinted,
        models=models,
        index_file=None if index is None else index.path,
        clean=clean,
    )


def _ordering(
    table: RowTable,
    sources: Sequence[Source],
    schema: RowSchema,
    book: IdBook,
    selection: Selection,
    options: LoadOptions,
) -> Ordering | None:
    """What finds another order than the files'. None: theirs is wanted."""
    if options.shuffle is not None:
        return Shuffled(table, options.shuffle, selection.limit)
    if not options.long_in_time:
        return None

    def again() -> Iterator[tuple[Read, int]]:
        for item in read_tasks(sources, schema, book.absent.name):
            if isinstance(item, Refused):
                raise changed_since_checked(item.faults[0])
            if selection.takes(item.task.id):
                yield item, options.n if item.task.n is None else item.task.n

    return LongInTime(table, again)


def _add_doubles(faults: FaultList, book: IdBook, sources: Sequence[Source], schema: RowSchema) -> None:
    """Ids whose hashes met twice are looked up in a second pass, which also finds the first place."""
    first: dict[str, str] = dict.fromkeys((double.id for double in book.doubles), "")
    open_ids = len(first)
    if not first:
        return
    for item in read_tasks(sources, schema, book.absent.name):
        task_id, where = (item.id or "", item.where) if isinstance(item, Refused) else (item.task.id, item.task.source)
        if first.get(task_id) == "":
            first[task_id] = where
            open_ids -= 1
            if not open_ids:
                break
    for double in reversed(book.doubles):
        if first[double.id] != double.where:  # equal: only the hashes met
            text = f'"{double.id}" already stands at {first[double.id]}; every task needs an id of its own'
            faults.insert(double.after, Fault(double.where, "id", text))
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
        for name in (_INDEX_FILE, _ROWS_FILE):
            (spool / name).unlink(missing_ok=True)

    return spool, clean
