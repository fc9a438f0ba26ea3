"""Finding out what a server is, and what it can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from concur_batch.engine.base import Capabilities
from concur_batch.engine.faults import NO_JSON, describe, fault
from concur_batch.engine.statistics import from_get_load, from_loads, from_metrics, from_models, from_server_info, is_server_info
from concur_batch.engine.transport import Answer, Transport
from concur_batch.errors import EngineError, EngineSilent

LOADS = "/v1/loads?include=core,memory,queues"
GET_LOAD = "/get_load"
METRICS = "/metrics"

_SOURCE_S = 5.0  # for one source of statistics; one that takes longer would be of no use during the run either

_Ask: TypeAlias = Callable[[str], Awaitable[Answer | None]]


def read_json(answer: Answer) -> Any:
    """The body as JSON; None where the status is not 200 or it is none."""
    if answer.status != 200:
        return None
    try:
        return msgspec.json.decode(answer.body)
    except NO_JSON:
        return None


async def probe(transport: Transport, where: str, timeout_s: float) -> Capabilities:
    """Ask. Raises EngineDown where nothing is there, EngineSilent where it does not answer in time, EngineError where what answers is no model server."""

    async def ask(path: str, *, api: bool = False, within_s: float = timeout_s) -> Answer:
        try:
            async with asyncio.timeout(within_s):
                return await transport.ask("GET", path, api=api)
        except TimeoutError:
            raise EngineSilent(f"{where}: no answer to {path} within {within_s:g} s") from None

    async def ask_source(path: str) -> Answer | None:
        try:
            return await ask(path, within_s=min(timeout_s, _SOURCE_S))
        except EngineError:  # a source that fails now, or hangs, is left alone
            return None

    can = Capabilities()
    models = await ask("/models", api=True)
    if models.status in (401, 403, 429) or models.status >= 500:
        raise fault(models.status, models.headers, models.body, where)
    info: Any = None
    for path in ("/server_info", "/get_server_info"):  # the second is the name up to 0.5.5
        info = read_json(await ask(path))
        if is_server_info(info):
            can = from_server_info(info, can)
            break
    listed = from_models(read_json(models), can)
    if listed is None and can.kind == "openai":
        raise EngineError(
            f"{where} answers {_what(models)} where a list of models was expected (/v1/models): it is not an OpenAI-compatible "
            "model server; check host, port and path"
        )
    can = listed or can
    return can if can.kind == "openai" else await _with_statistics(can, ask_source)


async def _with_statistics(can: Capabilities, ask: _Ask) -> Capabilities:
    """Which of SGLang's sources of statistics are open."""
    metrics, loads = await asyncio.gather(ask(METRICS), ask(LOADS))
    text = metrics.body.decode("utf-8", "replace") if metrics is not None and metrics.status == 200 else ""
    told = from_metrics(text)
    if loads is not None and from_loads(read_json(loads)) is not None:
        source = "loads"
    elif told is not None:
        source = "metrics"
    else:
        again = loads is not None and (loads.status in (404, 429) or loads.status >= 500)  # it may be open later
        old = await ask(GET_LOAD) if again else None
        source = "loads" if old is not None and from_get_load(read_json(old), None) is not None else "replies"
    resident = "sglang:" in text  # the kv_* gauges themselves appear only after the first batch
    return replace(can, statistics=source, resident=resident)


def _what(answer: Answer) -> str:
    if answer.status in (301, 302, 303, 307, 308):
        return f"HTTP {answer.status}, a redirect to {answer.headers.get('location', 'elsewhere')},"
    return f"HTTP {answer.status} with {describe(answer.body)}"
