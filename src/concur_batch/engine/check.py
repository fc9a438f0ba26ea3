"""What a server is and tells, gathered once for a person: the probe, /server_info, one reading, and two turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from concur_batch.engine.address import Address, parse_address
from concur_batch.engine.again import unless_busy
from concur_batch.engine.base import Capabilities, EngineStats
from concur_batch.engine.faults import describe
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.probe import GET_LOAD, LOADS, METRICS, read_json
from concur_batch.engine.statistics import from_loads, is_exposition, is_server_info, positive
from concur_batch.engine.transport import Answer, Transport
from concur_batch.engine.turns import Turns, take_turns
from concur_batch.errors import EngineError

_NOTHING = Answer(0, {}, b"")  # no answer came
_BUSY_S = 30.0  # a server that is busy is asked again within so many
_ASK_S = 5.0  # for each question; a model server that takes longer to say what it is, is stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One server as it was found. `info`: its /server_info, empty where it has none."""

    url: str
    ready: bool
    can: Capabilities
    wanted: str | None = None  # the model that was asked for by name
    info: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()  # paths that tell statistics
    unreadable: dict[str, str] = field(default_factory=dict)  # paths that should, and what they answer instead
    stats: EngineStats | None = None  # read after the turns; None: none came
    turns: Turns | None = None  # None: it was not ready, or they failed
    turns_failed: str = ""  # why

    @property
    def page_size(self) -> int:
        """Tokens per page of the KV pool."""
        return positive(self.info.get("page_size")) or 1

    @property
    def ranks(self) -> int:
        """Data-parallel ranks."""
        return positive(self.info.get("dp_size")) or 1


async def gather(url: str, *, api_key: str, model: str | None = None, request_timeout_s: float = 120.0) -> Facts:
    """Ask the server at `url`, and send it two to four short requests. /health is not asked: it makes the server generate.

    `model`: which to ask; by default the first served. `request_timeout_s`: for each of the requests. One that finds it busy is sent again a few times. Raises InputError
    where `url` is no address, EngineDown where nothing answers there, EngineError where it is no model server.
    """
    address = parse_address(url)
    ask_s = min(_ASK_S, request_timeout_s)
    engine = OpenAIEngine(
        url,
        api_key,
        request_timeout_s=request_timeout_s,
        connect_timeout_s=ask_s,
        probe_timeout_s=ask_s,
        ready_timeout_s=ask_s,
    )
    try:
        return await _gather(engine, address, api_key, model, min(_BUSY_S, request_timeout_s))
    finally:
        await engine.aclose()


async def _gather(engine: OpenAIEngine, address: Address, api_key: str, model: str | None, busy_s: float) -> Facts:
    can = await unless_busy(engine.probe, busy_s)
    found = await _ask_more(address, api_key, can)
    ready = await engine.ready()
    facts = Facts(
        url=address.root, ready=ready, can=can, wanted=model, info=found.info, sources=found.sources, unreadable=found.unreadable
    )
    if ready:
        try:
            asked = model or next(iter(can.models), "")
            facts = replace(facts, turns=await take_turns(engine, asked, facts.page_size, busy_s=busy_s))
        except EngineError as error:
            facts = replace(facts, turns_failed=str(error))
    try:
        return replace(facts, stats=await engine.stats()) if facts.sources else facts  # last: gauges appear with the first batch
    except EngineError:
        return facts


class _More(NamedTuple):
    info: dict[str, Any]
    sources: tuple[str, ...]
    unreadable: dict[str, str]


async def _ask_more(address: Address, api_key: str, can: Capabilities) -> _More:
    """What the probe does not keep: the whole of /server_info, the names of the sources, and what else those answer."""
    if can.kind == "openai":
        return _More({}, (), {})
    transport = Transport(address, api_key, connect_timeout_s=_ASK_S)

    async def ask(path: str) -> Answer:
        try:
            async with asyncio.timeout(_ASK_S):
                return await transport.ask("GET", path)
        except (EngineError, TimeoutError):
            return _NOTHING

    try:
        info = read_json(await ask("/server_info"))
        if not is_server_info(info):
            info = read_json(await ask("/get_server_info"))
        loads, metrics = await ask(LOADS), await ask(METRICS)
    finally:
        await transport.aclose()
    read = {
        LOADS.partition("?")[0]: from_loads(read_json(loads)) is not None,
        METRICS: metrics.status == 200 and is_exposition(metrics.body.decode("utf-8", "replace")),
    }
    unreadable = {
        path: _instead(answer)
        for (path, is_read), answer in zip(read.items(), (loads, metrics), strict=True)
        if not is_read and answer.status not in (0, 404)
    }
    sources = [] if can.statistics != "loads" else [path for path in read if path != METRICS and read[path]] or [GET_LOAD]
    if (can.resident or can.statistics == "metrics") and read[METRICS]:
        sources.append(METRICS)
    return _More(info if is_server_info(info) else {}, tuple(sources), unreadable)


def _instead(answer: Answer) -> str:
    return describe(answer.body) if answer.status == 200 else f"HTTP {answer.status}"
