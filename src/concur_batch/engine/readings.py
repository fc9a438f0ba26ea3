"""Reading SGLang's statistics from the cheapest source that is open, again and again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from concur_batch.engine.base import Capabilities, EngineStats
from concur_batch.engine.faults import fault, unreadable
from concur_batch.engine.probe import GET_LOAD, LOADS, METRICS, read_json
from concur_batch.engine.statistics import from_get_load, from_loads, from_metrics
from concur_batch.engine.transport import Answer, Transport
from concur_batch.errors import EngineError

_METRICS_S = 2.0  # for /metrics beside /v1/loads: less than whoever reads has for both
_HUNG = 6  # intervals in which a /metrics that took longer is left alone: each such question holds a reading up


class Readings:
    """/v1/loads every time; /metrics, which costs the server a hundred times more, at most every `metrics_interval_s`
    seconds for what only it tells, or every time where it is all there is.
    """

    def __init__(self, transport: Transport, can: Capabilities, where: str, metrics_interval_s: float) -> None:
        self._transport = transport
        self._can = can
        self._where = where
        self.metrics_interval_s = metrics_interval_s
        self._metrics: EngineStats | None = None
        self._metrics_due = 0.0

    async def read(self, now: float) -> EngineStats:
        """One reading at `now` seconds. Raises EngineError where none came."""
        if self._can.statistics == "loads":
            return await self._loads(now)
        if self._can.statistics == "metrics":
            return await self._from_metrics()
        return EngineStats(capacity_tokens=self._can.capacity_tokens)

    async def _loads(self, now: float) -> EngineStats:
        answer = await self._transport.ask("GET", LOADS)
        if old := answer.status == 404:  # as in releases up to 0.5.8; each time anew, as a proxy may say so once
            answer = await self._transport.ask("GET", GET_LOAD)
        data = self._json(answer)
        stats = from_get_load(data, self._can.capacity_tokens) if old else from_loads(data)
        if stats is None:
            raise unreadable(answer.body, self._where, "the loads of an SGLang server")
        if stats.capacity_tokens is None:
            stats = replace(stats, capacity_tokens=self._can.capacity_tokens)
        if not self._can.resident:
            return stats
        more = await self._sometimes_metrics(now)
        return replace(stats, resident=more.resident, evicted_tokens_total=more.evicted_tokens_total) if more else stats

    async def _sometimes_metrics(self, now: float) -> EngineStats | None:
        if now >= self._metrics_due:
            self._metrics_due = now + self.metrics_interval_s
            self._metrics = None  # if none comes: an old reading would pass for a new one
            try:
                async with asyncio.timeout(_METRICS_S):
                    self._metrics = await self._from_metrics()
            except EngineError:
                pass
            except TimeoutError:
                self._metrics_due = now + _HUNG * self.metrics_interval_s
        return self._metrics

    async def _from_metrics(self) -> EngineStats:
        answer = await self._transport.ask("GET", METRICS)
        self._check(answer)
        stats = from_metrics(answer.body.decode("utf-8", "replace"))
        if stats is None:
            raise unreadable(answer.body, self._where, "the metrics of an SGLang server")
        return stats if stats.capacity_tokens is not None else replace(stats, capacity_tokens=self._can.capacity_tokens)

    def _json(self, answer: Answer) -> object:
        self._check(answer)
        return read_json(answer)

    def _check(self, answer: Answer) -> None:
        if answer.status != 200:
            raise fault(answer.status, answer.headers, answer.body, self._where)
