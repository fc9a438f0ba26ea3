"""Which length agents are of, as far as few of them tell: a choice among a few, by what has been seen of any step. Pure.

The product-limit estimate learns each step by itself: that half of the agents end after their first step tells it nothing of the
second. Here one number stands for all steps, so a batch of short agents is known as such from its first few ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import fsum  # sum() rounds otherwise since Python 3.12
from typing import Final

_LENGTHS: Final = (1, 2, 3, 5, 10)  # steps that agents are sure to make
USUAL: Final = 10
"""The one that is believed at first."""
_BELIEF: Final = 0.95  # in it; the others share the rest
_MOST_HAZARD: Final = 0.5
_EARLY: Final = 0.06  # share of agents that end after a step before those they are sure to make: such are among all
_CERTAIN: Final = 1e-3  # what the others come to together, when the usual one stands for all
_STEPS: Final = 40  # told apart


def usual_hazard(steps: int) -> float:
    """Before anything is known: nobody ends in the first ten steps, and from then on one in ten with each step."""
    return _hazard(steps, USUAL)


def _hazard(steps: int, length: int) -> float:
    return 0.0 if steps < length else min(_MOST_HAZARD, 1.0 / length)


class Lengths:
    """Told of every agent at every step by `seen`. `usual`: hazard by steps, if the usual length is right."""

    def __init__(self, usual: Callable[[int], float] = usual_hazard) -> None:
        self._usual = usual
        rest = (1.0 - _BELIEF) / (len(_LENGTHS) - 1)
        self._logs = [math.log(_BELIEF if length == USUAL else rest) for length in _LENGTHS]

    def seen(self, steps: int, ended: int) -> None:
        """An agent has ended after so many steps (1), or gone on (0)."""
        if steps > 0:
            hazards = [max(_EARLY, _hazard(steps, length)) for length in _LENGTHS]
            likely = [math.log(hazard if ended else 1.0 - hazard) for hazard in hazards]
            self._logs = [log + one for log, one in zip(self._logs, likely, strict=True)]

    def hazard(self) -> Callable[[int], float]:
        """Of those who get so far, the share that ends after exactly so many steps, as is believed now."""
        most = max(self._logs)
        beliefs = [math.exp(log - most) for log in self._logs]
        others = fsum(beliefs) - beliefs[_LENGTHS.index(USUAL)]
        if others < _CERTAIN * fsum(beliefs):
            return self._usual
        hazards: list[float] = []
        for steps in range(_STEPS):
            each = [self._usual(steps) if length == USUAL else _hazard(steps, length) for length in _LENGTHS]
            whole = fsum(beliefs)
            hazards.append(fsum(belief * hazard for belief, hazard in zip(beliefs, each, strict=True)) / whole if whole else 0.0)
            beliefs = [belief * (1.0 - hazard) for belief, hazard in zip(beliefs, each, strict=True)]
        return lambda steps: hazards[min(max(steps, 0), _STEPS - 1)]
