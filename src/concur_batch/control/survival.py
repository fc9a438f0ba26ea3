"""How many steps agents make: the product-limit estimate (Kaplan and Meier 1958), agents that still run being censored. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_SURE_STEPS = 10
_HAZARD = 0.1
_PRIOR_AGENTS = 8.0
_MOST_STEPS = 2_000  # told apart; an agent that has made more is as one that has made so many


def prior_hazard(steps: int) -> float:
    """Before anything is known: no agent ends in its first ten steps, then one in ten with each step."""
    return 0.0 if steps < _SURE_STEPS else _HAZARD


class Survival:
    """Told of every agent by `stepped` and `ended`. `prior`: the hazard where nothing is known; it weighs as much as eight agents."""

    def __init__(self, prior: Callable[[int], float] = prior_hazard) -> None:
        self._prior = prior
        self._decided: list[int] = [0, 0]  # by steps: agents that ended then or made another
        self._ended: list[int] = [0, 0]  # of them, those that ended
        self._logs: list[float] = []
        self._mean = 0.0
        self._stale = True

    def stepped(self, steps: int) -> None:
        """An agent has made its `steps`-th step: it did not end after the one before."""
        self._count(steps - 1, 0)

    def ended(self, steps: int) -> None:
        """An agent has ended after so many steps."""
        self._count(steps, 1)

    def logs(self) -> Sequence[float]:
        """By k: the logarithm of the share of all agents that make more steps than the first k-1 tell, S(k); the last hazard goes on."""
        if self._stale:
            self._estimate()
        return self._logs

    @property
    def mean_steps(self) -> float:
        """Steps of an agent in the mean."""
        if self._stale:
            self._estimate()
        return self._mean

    def hazard(self, steps: int) -> float:
        """The share of those who get so far that end after exactly so many steps."""
        logs = self.logs()
        k = min(steps, len(logs) - 2)
        return 1.0 - math.exp(logs[k + 1] - logs[k])

    def _count(self, steps: int, ended: int) -> None:
        steps = min(max(steps, 0), _MOST_STEPS)
        while len(self._decided) <= steps:
            self._decided.append(0)
            self._ended.append(0)
        self._decided[steps] += 1
        self._ended[steps] += ended
        self._stale = True

    def _estimate(self) -> None:
        """logs[k] = ln of the share that is still there when the (k+1)-th step is made."""
        logs, log, prior_alive, mean = [0.0], 0.0, 1.0, 0.0
        steps = 0
        while steps < len(self._decided) or (mean * 2.0 > steps and steps < _MOST_STEPS) or steps < _SURE_STEPS + 2:
            prior = self._prior(steps)
            weight = _PRIOR_AGENTS * prior_alive
            decided, ended = (self._decided[steps], self._ended[steps]) if steps < len(self._decided) else (0, 0)
            whole = decided + weight
            hazard = (ended + weight * prior) / whole if whole > 1e-6 else prior
            mean += math.exp(log)
            log += math.log1p(-min(hazard, 0.999))
            prior_alive *= 1.0 - prior
            logs.append(log)
            steps += 1
        self._logs, self._stale = logs, False
        last = min(max(1.0 - math.exp(logs[-1] - logs[-2]), 0.02), 1.0)
        self._mean = mean - 1.0 + math.exp(log) / last  # step 0 is no step
