"""What to say of rollouts whose rows cannot be put together as a whole, since the journal lacks lines of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from concur_batch.results.collection import Collection, Found
from concur_batch.results.rows import ResultRow
from concur_batch.results.visible import one_line

_MOST_NAMED = 5


class Lost(NamedTuple):
    """A rollout of which the journal lacks lines."""

    rollout: str
    start: bool
    """Whether its first line is among them."""


def lost_of(rollout: str, row: ResultRow) -> Lost | None:
    """What is missing in its row. None: nothing."""
    return Lost(rollout, row.has_lost_start) if row.has_lost_start or row.has_lost_messages else None


def lost_messages(run_dir: Path, lost: Sequence[Lost]) -> str:
    """One sentence that names them."""
    parts = [
        _part("lines of", [one.rollout for one in lost if not one.start], "without messages and otherwise complete"),
        _part(
            "the start of",
            [one.rollout for one in lost if one.start],
            "without metadata and target, and without messages that go on from the prompt",
        ),
    ]
    open_it = f"concur results {shlex.quote(str(run_dir))} --open {shlex.quote(one_line(lost[0].rollout))}"
    return f"the journal lacks {'; and '.join(filter(None, parts))}; see what is there by: {open_it}"


def _part(what: str, rollouts: Sequence[str], without: str) -> str:
    """Empty where there is none."""
    if not rollouts:
        return ""
    named = ", ".join(map(one_line, rollouts[:_MOST_NAMED]))
    if len(rollouts) > _MOST_NAMED:
        named += f" and {len(rollouts) - _MOST_NAMED:,} more"
    return f"{what} {named}, so {'its row is' if len(rollouts) == 1 else 'their rows are'} {without}"


class Noting:
    """A collection that notes in `lost` whose row came without something that it should have."""

    def __init__(self, collection: Collection) -> None:
        self.lost: list[Lost] = []
        self._collection = collection

    @property
    def unended(self) -> int:
        """As the collection says."""
        return self._collection.unended

    def __iter__(self) -> Iterator[Found]:
        for found in self._collection:
            yield Found(found.head, partial(self._row, found.head.rollout, found.row))

    def _row(self, rollout: str, make: Callable[[], ResultRow]) -> ResultRow:
        row = make()
        lost = lost_of(rollout, row)
        if lost is not None:
            self.lost.append(lost)
        return row
