"""The best of all fixed windows, from coarse to fine: which to run next, and which is best. Pure."""

from __future__ import annotations

from math import inf, sqrt

CLOSE = 1.1
"""The best window is found when its neighbours are within this ratio of it."""
FIRST = 4  # then its double, and so on

Window = int | None
"""At most so many agents active; None: no limit."""


class Sweep:
    """Run what is `wanted` and say how long each took by `took`, until nothing is wanted any more; then `best` is found.

    First 4, 8, 16, ... below `agents`, and no limit, which is a window of `agents`; then geometric means around the best so
    far. Below the smallest it goes on by halves where that one is the best. The best is the fastest of those that have lost the
    fewest agents, and of equal ones the smallest. Where the time falls and then rises with the window, the best of all is within
    a ratio of 1.1 of what is found.
    """

    def __init__(self, agents: int) -> None:
        """`agents`: as many as can be active at all."""
        self._agents = agents
        self._found: dict[int, tuple[float, float]] = {}  # by window: agents lost, seconds
        coarse = [FIRST << i for i in range(agents.bit_length()) if FIRST << i < agents]
        self._wanted = {*coarse, agents}

    def wanted(self) -> list[Window]:
        """All that can be run now, in any order; empty when the best is found."""
        return [self._window(size) for size in sorted(self._wanted)]

    def took(self, window: Window, seconds: float | None, *, lost: int = 0) -> None:
        """What came of one that was wanted. None: it did not come to an end. `lost`: agents that timed out or failed."""
        size = self._agents if window is None else window
        self._wanted.discard(size)
        self._found[size] = (inf, inf) if seconds is None else (lost, seconds)
        if not self._wanted:
            self._wanted = self._closer()

    @property
    def best(self) -> Window:
        """Of those run so far. Raises ValueError before the first."""
        return self._window(self._best())

    def _best(self) -> int:
        return min(self._found, key=lambda size: (self._found[size], size))

    def _window(self, size: int) -> Window:
        return None if size >= self._agents else size

    def _closer(self) -> set[int]:
        """Between the best and its neighbours, as long as they are not close to it."""
        best, tried = self._best(), sorted(self._found)
        place = tried.index(best)
        near = tried[max(0, place - 1) : place] + tried[place + 1 : place + 2]
        between = {round(sqrt(best * size)) for size in near if max(best, size) > CLOSE * min(best, size)}
        if place == 0:
            between.add(max(1, best // 2))
        return between - set(tried)
