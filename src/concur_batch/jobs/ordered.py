"""A job in another order than that of its files: positions of rows are kept, never the rows."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from concur_batch.jobs.faults import Fault
from concur_batch.jobs.lines import decode_row
from concur_batch.jobs.rows import Read, changed_since_checked, where_prefix
from concur_batch.jobs.schema import RowSchema
from concur_batch.jobs.sources import Source
from concur_batch.jobs.to_task import AbsentId
from concur_batch.task import Task

_OPEN_FILES = 64
_LIVES = 4  # mean ones, in which a job is taken to be done


class RowTable:
    """Where each selected row stands, about 40 bytes per row. Rows of other files than plain JSONL are copied into `spool`.

    Filled inside its `with` block, read after it.
    """

    def __init__(self, sources: Sequence[Source], spool: Path) -> None:
        self._sources = sources
        self._spool = spool
        self._copy: IO[bytes] | None = None
        self._copied = 0
        self._index = array("Q")
        self._line = array("Q")
        self._offset = array("Q")
        self._file = array("I")
        self._n = array("I")

    def __len__(self) -> int:
        return len(self._index)

    def append(self, read: Read, n: int) -> None:
        """Remember this row and its number of rollouts."""
        located = read.located
        offset = located.offset
        if self._sources[read.file].kind != "jsonl":
            offset = self._copied
            self._copied += self._write(located.raw or json.dumps(located.row, ensure_ascii=False).encode())
        self._index.append(read.task.index)
        self._line.append(located.line)
        self._offset.append(offset)
        self._file.append(read.file)
        self._n.append(n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def rollouts(self, positions: Iterable[int]) -> int:
        """Rollouts of these rows together."""
        return sum(self._n[position] for position in positions)

    def tasks(self, positions: Iterable[int], schema: RowSchema, absent_id: AbsentId) -> Iterator[Task]:
        """The tasks at these positions, read one by one."""
        prefixes = [where_prefix(source) for source in self._sources]
        files: dict[Path, IO[bytes]] = {}
        try:
            for position in positions:
                source = self._sources[self._file[position]]
                file = _opened(files, source.path if source.kind == "jsonl" else self._spool)
                file.seek(self._offset[position])
                where = f"{prefixes[self._file[position]]}{self._line[position]}"
                line = file.readline().strip()
                row = json.loads(line) if source.kind == "parquet" else decode_row(line, where)  # what was copied may hold NaN
                task = [row] if isinstance(row, Fault) else schema.task(row, self._index[position], where, absent_id)
                if isinstance(task, list):
                    raise changed_since_checked(task[0])
                yield task
        finally:
            for file in files.values():
                file.close()

    def _write(self, raw: bytes) -> int:
        if self._copy is None:
            self._copy = self._spool.open("wb")
        return self._copy.write(raw + b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The rows of a job and the order to run them in: positions in the table."""

    table: RowTable
    positions: array[int]


class Ordering(Protocol):
    """Finds the order while a job is checked."""

    def append(self, read: Read, n: int) -> None:
        """The next selected row in job order, with its number of rollouts."""
        ...

    def order(self) -> Order | None:
        """After the last row. None: job order."""
        ...


class Shuffled:
    """An order that only the seed decides, and of it the first `limit`."""

    def __init__(self, table: RowTable, seed: int, limit: int | None) -> None:
        self._table = table
        self._seed = seed
        self._limit = limit

    def append(self, read: Read, n: int) -> None:
        """The next selected row in job order, with its number of rollouts."""
        self._table.append(read, n)

    def order(self) -> Order | None:
        """After the last row."""
        return Order(table=self._table, positions=permutation(len(self._table), self._seed, self._limit))


class LongInTime:
    """Tasks with many expected tokens early enough. Nothing is kept before the first that has any, so jobs without stay a stream."""

    def __init__(self, table: RowTable, again: Callable[[], Iterator[tuple[Read, int]]]) -> None:
        """`again`: the selected rows from the first, with their rollouts; asked once, for what came before that task."""
        self._table = table
        self._again = again
        self._passed = 0
        self._expected = array("Q")  # 0: not known

    def append(self, read: Read, n: int) -> None:
        """The next selected row in job order, with its number of rollouts."""
        if not self._expected:
            if read.task.expected_tokens is None:
                self._passed += 1
                return
            for earlier, rollouts in islice(self._again(), self._passed):
                self._keep(earlier, rollouts)
        self._keep(read, n)

    def order(self) -> Order | None:
        """After the last row. None: no task has any expected tokens."""
        return Order(table=self._table, positions=long_in_time(self._expected)) if self._expected else None

    def _keep(self, read: Read, n: int) -> None:
        self._table.append(read, n)
        self._expected.append(read.task.expected_tokens or 0)


def long_in_time(expected: Sequence[int]) -> array[int]:
    """Positions in which tasks start, by expected tokens: each where it stands, but long ones no later than they have to in order to end
    with the others. 0: not known, which counts as the mean of the others.

    The batch is taken to last for four mean lives, and a life to be as long as tokens are expected of it: one of twice the mean begins
    in the first half, one of four times the mean or more at once, and of those the longest first.
    """
    count, total = len(expected), sum(expected)
    known = count - expected.count(0)
    whole = _LIVES * max(1, total)

    def latest(tokens: int) -> int:
        return count - 1 + -count * (tokens * known or total) // whole

    # One number per row holds when it starts and its position: half the memory of a sort with keys.
    packed = sorted(min(position, latest(tokens)) << 32 | position for position, tokens in enumerate(expected))
    return array("Q", (number & 0xFFFF_FFFF for number in packed))


def permutation(count: int, seed: int, limit: int | None) -> array[int]:
    """Positions 0..count-1 in an order that only `seed` decides, the first `limit` of them."""
    order = array("Q", range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order to run in, no secret
    return order if limit is None else order[:limit]


def _opened(files: dict[Path, IO[bytes]], path: Path) -> IO[bytes]:
    if path not in files:
        if len(files) >= _OPEN_FILES:
            for file in files.values():
                file.close()
            files.clear()
        files[path] = path.open("rb")
    return files[path]
