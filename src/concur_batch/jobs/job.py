"""A checked job: how much there is to do, and its tasks as a stream, as often as wanted."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from concur_batch.jobs.ids import AbsentIds
from concur_batch.jobs.ordered import Order
from concur_batch.jobs.rows import Refused, changed_since_checked, read_tasks
from concur_batch.jobs.schema import RowSchema
from concur_batch.jobs.sources import Source
from concur_batch.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of the tasks are run: those whose id matches, then the first `limit` (in running order)."""

    pattern: re.Pattern[str] | None = None
    limit: int | None = None

    def takes(self, task_id: str) -> bool:
        """Whether the id matches."""
        return self.pattern is None or self.pattern.search(task_id) is not None


class Job:
    """Iterating gives the tasks in running order, each time from the first; nothing of them is kept.

    Raises InputError in mid-stream where a file no longer is what was checked. `close` (or leaving the `with` block) removes
    what was written beside the job files, save a spooled standard input.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        schema: RowSchema,
        absent: AbsentIds,
        *,
        selection: Selection,
        order: Order | None,
        default_n: int,
        tasks: int,
        rollouts: int,
        hinted: int,
        models: Mapping[str, int],
        index_file: Path | None,
        clean: Callable[[], None],
    ) -> None:
        self.sources = tuple(sources)
        self.tasks = tasks  # selected ones
        self.rollouts = rollouts  # of them, in all
        self.hinted = hinted  # of those whose id matches, how many have expected tokens
        self.models = models  # that these ask for, each with how many do
        self.warnings = tuple(schema.warnings())
        self.index_file = index_file  # written while checking; see `index.py`
        self._schema = schema
        self._absent = absent
        self._selection = selection
        self._order = order  # None: that of the files
        self._default_n = default_n
        self._clean = clean

    def __iter__(self) -> Iterator[Task]:
        if self._order is None:
            return self._in_file_order()
        return self._order.table.tasks(self._order.positions, self._schema, self._absent.name)

    def in_job_order(self) -> Iterator[Task]:
        """The same tasks in the order of the job's files, whatever the running order."""
        if self._order is None:
            return self._in_file_order()
        return self._order.table.tasks(array("Q", sorted(self._order.positions)), self._schema, self._absent.name)

    def uses_tool(self, names: Collection[str], offered: Collection[str]) -> bool:
        """Whether any row names one of these tools, or names none where one of them is offered."""
        named = not self._schema.named_tools.isdisjoint(names)
        return named or (self._schema.unnamed_tools and any(name in names for name in offered))

    def n(self, task: Task) -> int:
        """Rollouts of this task."""
        return self._default_n if task.n is None else task.n

    def close(self) -> None:
        """Remove temporary files. The job cannot be read afterwards."""
        self._clean()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _in_file_order(self) -> Iterator[Task]:
        left = self.tasks
        for item in read_tasks(self.sources, self._schema, self._absent.name):
            if isinstance(item, Refused):
                raise changed_since_checked(item.faults[0])
            if self._selection.takes(item.task.id):
                yield item.task
                left -= 1
                if not left:
                    return
