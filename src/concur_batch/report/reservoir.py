"""A fair sample of a stream of unknown length, in bounded memory. Pure: randomness is given."""

from __future__ import annotations

from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """`add` items; `items` are at most `most` of them, each with the same chance."""

    def __init__(self, most: int, random: Random) -> None:
        self.items: list[T] = []
        self.seen = 0
        self._most = most
        self._random = random

    def place(self) -> int | None:
        """Where the next item would go: into `items[place]`, behind the last one, or nowhere (None). Counts it as seen."""
        self.seen += 1
        if len(self.items) < self._most:
            return len(self.items)
        drawn = int(self._random.random() * self.seen)
        return drawn if drawn < self._most else None

    def add(self, item: T) -> T | None:
        """Take an item in. Returns what is not in the sample for it: another, this one, or nothing as long as there is room."""
        place = self.place()
        if place is None:
            return item
        if place == len(self.items):
            self.items.append(item)
            return None
        left, self.items[place] = self.items[place], item
        return left
