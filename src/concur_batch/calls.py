"""Model calls that are at the same thing, as that they wait for it: whose they are, and whether their time counts meanwhile."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Deadline(Protocol):
    """A rollout's wall-time limit; waiting for an engine that is away does not count."""

    def suspend(self) -> None:
        """Stop the clock."""
        ...

    def resume(self) -> None:
        """Let it run on."""
        ...


@dataclass(slots=True, eq=False)
class _Call:
    rollout: str
    deadline: Deadline | None


class Calls:
    """Those of one lane. While they are `suspended` it is nobody's time."""

    def __init__(self, *, suspended: bool = False) -> None:
        self._calls: dict[_Call, None] = {}  # in the order made
        self._suspended = suspended

    @property
    def by_rollout(self) -> Counter[str]:
        """How many there are of each rollout."""
        return Counter(call.rollout for call in self._calls)

    @contextlib.contextmanager
    def of(self, rollout: str, deadline: Deadline | None) -> Iterator[None]:
        """Around one of them."""
        call = _Call(rollout, deadline)
        self._calls[call] = None
        if self._suspended and deadline is not None:
            deadline.suspend()
        try:
            yield
        finally:
            del self._calls[call]
            if self._suspended and deadline is not None:
                deadline.resume()

    def suspend(self) -> None:
        """From now on their time does not count. Once."""
        self._suspended = True
        for call in self._calls:
            if call.deadline is not None:
                call.deadline.suspend()

    def resume(self) -> None:
        """It does again."""
        self._suspended = False
        for call in self._calls:
            if call.deadline is not None:
                call.deadline.resume()
