"""What to say of rollouts whose conversation cannot be put together, since the journal lacks lines of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from concur_batch.results.collection import Collection, Found
from concur_batch.results.rows import ResultRow
from concur_batch.results.visible import one_line

_MOST_NAMED = 5


def lost_messages(run_dir: Path, rollouts: Sequence[str]) -> str:
    """One sentence that names them."""
    named = ", ".join(map(one_line, rollouts[:_MOST_NAMED]))
    if len(rollouts) > _MOST_NAMED:
        named += f" and {len(rollouts) - _MOST_NAMED:,} more"
    rows = "its row is" if len(rollouts) == 1 else "their rows are"
    return (
        f"the journal lacks lines of {named}, so {rows} without messages and otherwise complete; "
        f"see what is there by: concur results {shlex.quote(str(run_dir))} --open {shlex.quote(one_line(rollouts[0]))}"
    )


class Noting:
    """A collection that notes in `lost` whose row came without its messages."""

    def __init__(self, collection: Collection) -> None:
        self.lost: list[str] = []
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
        if row.has_lost_messages:
            self.lost.append(rollout)
        return row
