"""In which order a rollout's calls are answered from the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import takewhile

_ROUNDS = 10  # of the event loop: enough for tasks that wait for tasks
_PATIENCE_S = 5.0  # for a call to be made whose turn it is: the agent may wait for something of its own


async def others_go_on() -> None:
    """Let the agent get to its next call wherever it has what it needs for it."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


class Turns:
    """Answers come in the order in which they once came, and each after the agent has done what it does with the ones before.

    So an agent with several calls at once makes the same calls again, also where it depends on which of them ends first.
    A call that the agent does not make when it is its turn is passed over.
    """

    def __init__(self, order: Iterable[int]) -> None:
        self._order = deque(order)
        self._gone = set[int]()
        self._made: dict[int, asyncio.Event] = {}  # calls that wait, and whether their turn has come
        self._moved = 0.0  # when the last turn ended

    @asynccontextmanager
    async def of(self, n: int) -> AsyncIterator[None]:
        """Entered when it is the turn of call `n`; the next one's comes when it is left."""
        if not self._order:
            yield
            return
        self._made[n] = asyncio.Event()
        try:
            await self._comes(n)
            await others_go_on()
            yield
        finally:
            del self._made[n]
            self._pass(n)

    async def _comes(self, n: int) -> None:
        clock = asyncio.get_running_loop().time
        while n not in self._gone and self._order[0] != n:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._made[n].wait()
            except TimeoutError:
                if self._order[0] not in self._made and clock() - self._moved >= _PATIENCE_S:
                    self._pass(*takewhile(lambda m: m not in self._made, self._order))

    def _pass(self, *gone: int) -> None:
        self._moved = asyncio.get_running_loop().time()
        self._gone.update(gone)
        while self._order and self._order[0] in self._gone:
            self._order.popleft()
        if self._order and self._order[0] in self._made:
            self._made[self._order[0]].set()
