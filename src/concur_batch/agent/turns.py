"""In which order a rollout's calls are answered from the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import takewhile

_ROUNDS = 10  # of the event loop: enough for tasks that wait for tasks
_PATIENCE_S = 5.0  # for a call to be made whose turn it is: the agent may wait for something of its own
_MOMENT_S = 0.1  # in which the calls before are answered, where none has to be waited for


async def others_go_on() -> None:
    """Let the agent get to its next call wherever it has what it needs for it."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


class Turns:
    """Answers come in the order in which they once came, and each after the agent has done what it does with the ones before.

    So an agent with several calls at once makes the same calls again, also where it depends on which of them ends first.
    A call that the agent does not make when it is its turn is passed over, and the next such call is waited for half as long:
    the agent may make none of those any more. `at_once`: calls that ended together with the one before.
    """

    def __init__(self, order: Iterable[int], at_once: Collection[int]) -> None:
        self._order = deque(order)
        self._at_once = at_once
        self._gone = set[int]()
        self._made: dict[int, asyncio.Event] = {}  # calls that wait, and whether their turn has come
        self._patience_s = _PATIENCE_S

    @asynccontextmanager
    async def of(self, n: int, most_s: float | None) -> AsyncIterator[None]:
        """Entered when it is the turn of call `n`, or after `most_s`; the next one's comes when it is left."""
        if not self._order:
            yield
            return
        self._made[n] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if most_s is None else max(most_s, _MOMENT_S)):
                    await self._comes(n)
            if n not in self._at_once:
                await others_go_on()
            yield
        finally:
            del self._made[n]
            self._pass(n)

    async def _comes(self, n: int) -> None:
        while n not in self._gone and self._order[0] != n:
            gone = len(self._gone)
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._made[n].wait()
            except TimeoutError:
                if self._order[0] not in self._made and len(self._gone) == gone:
                    self._patience_s /= 2
                    self._pass(*takewhile(lambda m: m not in self._made, self._order))

    def _pass(self, *gone: int) -> None:
        self._gone.update(gone)
        while self._order and self._order[0] in self._gone:
            self._order.popleft()
        if self._order and self._order[0] in self._made:
            self._made[self._order[0]].set()
