"""A page of the rollouts that are selected, and the counts of all. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from concur_batch.results.collection import Collection, Found
from concur_batch.results.selection import Selection


def many(n: int) -> str:
    """`1 rollout`, `2 rollouts`."""
    return f"{n:,} rollout{'s' * (n != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Of those that are selected, `limit` after the first `skip`. `limit` None: all."""

    selection: Selection
    skip: int = 0
    limit: int | None = None


class Counted:
    """Takes a page out of a collection, and counts what there is."""

    def __init__(self, page: Page) -> None:
        self.seen = 0  # ended
        self.selected = 0
        self.shown = 0
        self._page = page

    @property
    def more(self) -> int:
        """Selected ones after the page."""
        return max(0, self.selected - self._page.skip - self.shown)

    @property
    def next_skip(self) -> int:
        """Where the next page begins."""
        return self._page.skip + self.shown

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out by a filter."""
        return self._page.selection.is_all

    def page(self, collection: Collection) -> Iterator[Found]:
        """Those of the page, one at a time; whatever follows is only counted."""
        page = self._page
        end = sys.maxsize if page.limit is None else page.skip + page.limit
        for one in collection:
            self.seen += 1
            if page.selection.takes(one.head):
                self.selected += 1
                if page.skip < self.selected <= end:
                    self.shown += 1
                    yield one
