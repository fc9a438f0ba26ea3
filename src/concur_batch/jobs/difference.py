"""Whether a job still is the one that a run was started with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from concur_batch.errors import InputError
from concur_batch.jobs.faults import SHOWN
from concur_batch.jobs.index import Entry, entries, read_entries
from concur_batch.jobs.job import Job


@dataclass(slots=True, kw_only=True)
class Difference:
    """How a job differs from the index of a run. Added rows and a larger `n` are welcome, all else is refused."""

    lines: list[str] = field(default_factory=list)  # the first twenty refusals
    refused: int = 0

    def raise_if_refused(self) -> None:
        """Raises InputError with one line per row that changed or went."""
        if not self.refused:
            return
        more = self.refused - len(self.lines)
        rows = f"{self.refused} row{'s differ' if self.refused > 1 else ' differs'}"
        head = f"the job is no longer the one this run was started with: {rows}; put the old rows back, or start a new run"
        raise InputError("\n".join([head, *self.lines, *([f"and {more} more"] if more else [])]))

    def refuse(self, line: str) -> None:
        """Count a row that cannot be taken as it now is, and keep its line where few are kept yet."""
        self.refused += 1
        if len(self.lines) < SHOWN:
            self.lines.append(line)

    def judge(self, old: Entry, new: Entry) -> None:
        """The same id, then and now."""
        if old.fingerprint != new.fingerprint:
            self.refuse(f'{new.where}: id "{new.id}": content changed')
        elif new.n < old.n:
            self.refuse(f'{new.where}: id "{new.id}": n shrank from {old.n} to {new.n}; it may only grow')


def compare(old: Iterable[Entry], new: Iterable[Entry]) -> Difference:
    """Both streams are read once, side by side. Only entries without a partner so far are held, so that memory is small
    where the two agree or rows were added, in whatever place.
    """
    difference = Difference()
    missing: dict[str, Entry] = {}
    extra: dict[str, Entry] = {}
    for before, after in zip_longest(old, new):
        if before is not None and after is not None and before.id == after.id:
            difference.judge(before, after)
            continue
        if before is not None:
            partner = extra.pop(before.id, None)
            if partner is None:
                missing[before.id] = before
            else:
                difference.judge(before, partner)
        if after is not None:
            partner = missing.pop(after.id, None)
            if partner is None:
                extra[after.id] = after
            else:
                difference.judge(partner, after)
    for entry in missing.values():
        difference.refuse(f'{entry.where}: id "{entry.id}": removed, or no longer among those that --limit takes')
    return difference


def compare_index(path: Path, job: Job) -> Difference:
    """How `job` differs from the index at `path`. Raises RunDirectoryError where that is missing or broken."""
    return compare(read_entries(path), entries(job))
