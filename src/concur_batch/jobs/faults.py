"""What is wrong with a job file, as lines for a person: `file:line: field: what is wrong and what would be right`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from concur_batch.errors import InputError

PROMPT_IS_TEXT = "should be text; a list of messages belongs in messages"  # TRL and verl call such a list a prompt
SHOWN = 20  # so many faults are told in full; of the rest only their number


class Fault(NamedTuple):
    """One thing wrong in one place. `field` is empty where the row or the file as a whole is meant."""

    where: str  # "file:line", or the file alone
    field: str
    text: str  # what is wrong, and what would be right

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class JobFaults(InputError):
    """The job cannot be run as it is written. Its text is one line per fault, the first twenty, then how many more."""

    def __init__(self, faults: list[Fault], more: int = 0) -> None:
        lines = [str(fault) for fault in faults]
        if more:
            lines.append(f"and {more} more")
        super().__init__("\n".join(lines))
        self.faults = faults
        self.more = more

    def seen_from(self, folder: Path) -> JobFaults:
        """The same, with the files under that folder named from there."""
        prefix = re.compile(rf"(?<!\S){re.escape(str(folder))}/")  # not within another path, or an id in quotes
        faults = [Fault(prefix.sub("", one.where), one.field, prefix.sub("", one.text)) for one in self.faults]
        return JobFaults(faults, self.more)


class FaultList:
    """Collects faults in bounded memory."""

    def __init__(self) -> None:
        self.first: list[Fault] = []
        self.more = 0

    def __bool__(self) -> bool:
        return bool(self.first)

    def __len__(self) -> int:
        return len(self.first) + self.more

    def insert(self, place: int, fault: Fault) -> None:
        """The same for one that stands before those that were collected after the first `place`."""
        self.first.insert(place, fault)
        self.more += len(self.first[SHOWN:])
        del self.first[SHOWN:]

    def add(self, fault: Fault) -> None:
        """Keep it, or count it where enough are kept."""
        if len(self.first) < SHOWN:
            self.first.append(fault)
        else:
            self.more += 1

    def raise_if_any(self) -> None:
        """Raises JobFaults where anything was collected."""
        if self.first:
            raise JobFaults(self.first, self.more)
