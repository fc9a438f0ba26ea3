"""Ids of a job in bounded memory: 8-byte hashes to find doubles, and names for rows that bring none."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from typing import NamedTuple

from concur_batch.jobs.faults import SHOWN


class Double(NamedTuple):
    """An id whose hash was met before."""

    id: str
    where: str
    after: int  # so many faults of the job


class AbsentIds:
    """Rows without an id are named by their fingerprint, the second of equal ones `…-2`, and so on.

    Kept are only the rows after the first, as two arrays, so that every later pass, in any order, finds the same names.
    """

    def __init__(self) -> None:
        self._rows = array("Q")  # ascending
        self._occurrence = array("Q")

    def note(self, index: int, occurrence: int) -> None:
        """The row at `index` is not the first of its content."""
        self._rows.append(index)
        self._occurrence.append(occurrence)

    def name(self, index: int, fingerprint: str) -> str:
        """The id of the row at `index`, as it was found when the job was checked."""
        at = bisect_left(self._rows, index)
        if at < len(self._rows) and self._rows[at] == index:
            return f"{fingerprint}-{self._occurrence[at]}"
        return fingerprint


class IdBook:
    """All ids of a job while it is checked, in job order."""

    def __init__(self) -> None:
        self.absent = AbsentIds()
        self.doubles: list[Double] = []  # the first few
        self.more_doubles = 0
        self._seen: set[int] = set()
        self._repeated: dict[str, int] = {}

    def name_absent(self, index: int, fingerprint: str) -> str:
        """The id of a row that brings none."""
        if id_hash(fingerprint) not in self._seen:
            return fingerprint
        occurrence = self._repeated.get(fingerprint, 1) + 1
        self._repeated[fingerprint] = occurrence
        self.absent.note(index, occurrence)
        return f"{fingerprint}-{occurrence}"

    def add(self, task_id: str, where: str, after: int = 0) -> None:
        """Take one id in; a likely double goes to `doubles`. `after`: so many faults have been found till then."""
        digest = id_hash(task_id)
        if digest not in self._seen:
            self._seen.add(digest)
        elif len(self.doubles) < SHOWN:
            self.doubles.append(Double(task_id, where, after))
        else:
            self.more_doubles += 1


def id_hash(text: str) -> int:
    """The same in every process, unlike Python's own."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
