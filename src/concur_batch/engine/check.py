"""What a server is and tells, gathered once for a person: the probe, /server_info, one reading, and two turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from concur_batch.engine.address import Address, parse_address
from concur_batch.engine.base import Capabilities, EngineStats
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.engine.probe import GET_LOAD, LOADS, METRICS, read_json
from concur_batch.engine.statistics import from_loads, is_server_info
from concur_batch.engine.transport import Transport
from concur_batch.engine.turns import Turns, take_turns
from concur_batch.errors import EngineError

_ASK_S = 5.0  # for each question; a model server that takes longer to say what it is, is stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One server as it was found. `info`: its /server_info, empty where it has none."""

    url: str
    ready: bool
    can: Capabilities
    info: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()  # paths that tell statistics
    stats: EngineStats | None = None  # read after the turns; None: none came
    turns: Turns | None = None  # None: it was not ready, or they failed
    turns_failed: str = ""  # why

    @property
    def page_size(self) -> int:
        """Tokens per page of the KV pool."""
        return _count(self.info.get("page_size"))

    @property
    def ranks(self) -> int:
        """Data-parallel ranks."""
        return _count(self.info.get("dp_size"))


async def gather(url: str, *, api_key: str, model: str | None = None, request_timeout_s: float = 120.0) -> Facts:
    """Ask the server at `url`, and send it two to four short requests. /health is not asked: it makes the server generate.

    `model`: which to ask; by default the first served. `request_timeout_s`: for each of the requests. Raises InputError
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
        return await _gather(engine, address, api_key, model)
    finally:
        await engine.aclose()


async def _gather(engine: OpenAIEngine, address: Address, api_key: str, model: str | None) -> Facts:
    can = await engine.probe()
    info, sources = await _ask_more(address, api_key, can)
    ready = await engine.ready()
    facts = Facts(url=address.root, ready=ready, can=can, info=info, sources=sources)
    if ready:
        try:
            facts = replace(facts, turns=await take_turns(engine, model or next(iter(can.models), ""), facts.page_size))
        except EngineError as error:
            facts = replace(facts, turns_failed=str(error))
    try:
        return replace(facts, stats=await engine.stats()) if sources else facts  # last: gauges appear with the first batch
    except EngineError:
        return facts


async def _ask_more(address: Address, api_key: str, can: Capabilities) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the probe does not keep: the whole of /server_info, and the names of the sources."""
    if can.kind == "openai":
        return {}, ()
    transport = Transport(address, api_key, connect_timeout_s=_ASK_S)

    async def ask(path: str) -> Any:
        try:
            async with asyncio.timeout(_ASK_S):
                return read_json(await transport.ask("GET", path))
        except (EngineError, TimeoutError):
            return None

    try:
        info = await ask("/server_info")
        if not is_server_info(info):
            info = await ask("/get_server_info")
        sources = [] if can.statistics != "loads" else [LOADS if from_loads(await ask(LOADS)) is not None else GET_LOAD]
    finally:
        await transport.aclose()
    if can.resident or can.statistics == "metrics":
        sources.append(METRICS)
    return (info if is_server_info(info) else {}), tuple(source.partition("?")[0] for source in sources)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1
