"""Model calls that wait to be made, or to be made again: a drain finds their agents standing still, and their time does not run on."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from concur_batch.presence import Deadline


@dataclass(slots=True, eq=False)
class _Rest:
    rollout: str
    deadline: Deadline | None


class Rests:
    """Those of one lane."""

    def __init__(self) -> None:
        self._rests: dict[_Rest, None] = {}
        self._draining = False

    @property
    def waiting(self) -> Counter[str]:
        """Calls of each rollout that wait here."""
        return Counter(rest.rollout for rest in self._rests)

    @contextlib.contextmanager
    def rest(self, rollout: str, deadline: Deadline | None) -> Iterator[None]:
        """Around the wait."""
        rest = _Rest(rollout, deadline)
        self._rests[rest] = None
        if self._draining and deadline is not None:
            deadline.suspend()
        try:
            yield
        finally:
            del self._rests[rest]
            if self._draining and deadline is not None:
                deadline.resume()

    def drain(self) -> None:
        """From now on the wait is nobody's time. Once."""
        self._draining = True
        for rest in self._rests:
            if rest.deadline is not None:
                rest.deadline.suspend()
