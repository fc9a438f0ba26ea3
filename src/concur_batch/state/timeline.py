"""How many agents were active, paused and waiting over the whole run, in a bounded number of equal steps. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple


class Agents(NamedTuple):
    """At one moment; means of several where steps were joined."""

    active: float
    paused: float  # without a slot: paused, or given up in a tool call that takes long
    waiting: float  # never started


class Timeline:
    """`points[i]` is what there was `(i + 1) * step_s` seconds of work after the start, or the mean of the steps joined there.

    When there are more than `most`, neighbours are joined in pairs and `step_s` doubles.
    """

    def __init__(self, *, step_s: float = 1.0, most: int = 512) -> None:
        self.points: list[Agents] = []
        self.step_s = step_s
        self._most = most

    @property
    def due_s(self) -> float:
        """When the next point is to be taken."""
        return (len(self.points) + 1) * self.step_s

    def reach(self, elapsed_s: float, agents: Agents) -> None:
        """Take the points that are due up to this moment; `agents` is how it has been since the last."""
        if not math.isfinite(elapsed_s):
            return
        while elapsed_s >= self.step_s * (self._most + 1):
            self._join()
        while self.due_s <= elapsed_s:
            self.points.append(agents)

    def _join(self) -> None:
        pairs = zip(self.points[::2], self.points[1::2], strict=False)  # an odd one out is taken anew
        self.points = [Agents(*((a + b) / 2 for a, b in zip(left, right, strict=True))) for left, right in pairs]
        self.step_s *= 2
