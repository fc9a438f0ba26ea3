"""A profile of an engine that runs: what it tells of itself, and a cost model fitted to its own running sums."""

from __future__ import annotations

import asyncio
import math
import secrets
import statistics
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from concur_batch.engine.address import parse_address
from concur_batch.engine.again import unless_busy
from concur_batch.engine.base import Capabilities
from concur_batch.engine.fit_load import BUSY_S, Load
from concur_batch.engine.probe import probe, read_json
from concur_batch.engine.statistics import positive
from concur_batch.engine.transport import Transport
from concur_batch.errors import EngineError, EngineSilent, InputError
from concur_batch.sim.fit import DecodePoint, Fit, PrefillPoint, fit_cost
from concur_batch.sim.fit_plan import Limits, bursts, conversations
from concur_batch.sim.pool import max_running_requests
from concur_batch.sim.profile import CONTEXT_LENGTH, MAX_PREFILL_TOKENS, Profile

_PASSES = 3  # each shape is measured so often, and the median kept
_PROBE_TIMEOUT_S = 10.0
_REQUEST_TIMEOUT_S = 300.0
_GIB = 2**30


async def fit(
    url: str, *, api_key: str | None = None, report: Callable[[str], None] = lambda _: None, seconds: float = 180.0
) -> Profile:
    """Measure the SGLang server at `url` with some hundred requests of our own, for about `seconds` at most, and fit.

    `report` gets lines for the user: what is measured, and the errors of the fit. Raises InputError where the server is no
    SGLang or keeps no running sums, EngineError where it cannot be reached or too little could be measured.
    """
    address = parse_address(url)
    transport = Transport(address, api_key or "EMPTY")
    try:
        return await _fit(transport, address.root, report, seconds)
    finally:
        await transport.aclose()


async def _fit(transport: Transport, where: str, report: Callable[[str], None], seconds: float) -> Profile:
    can = await unless_busy(lambda: probe(transport, where, _PROBE_TIMEOUT_S), BUSY_S)
    info = await _server_info(transport, where, can)
    ranks = positive(info.get("dp_size")) or 1
    pool = _pool(can, where) // ranks
    context = can.context_length or CONTEXT_LENGTH
    running = _running(info) or max_running_requests(pool, context)
    chunk = positive(info.get("chunked_prefill_size")) or context  # -1: prompts are never cut
    load = Load(transport, where, chunk, Random(secrets.randbits(64)), _REQUEST_TIMEOUT_S)  # noqa: S311 - texts, no secrets

    others = (await load.sums()).running_requests
    report(
        f"{where}: SGLang {can.version or '(version not told)'}, {', '.join(can.models) or 'one model'}, pool of {pool:,} tokens"
    )
    if ranks > 1:
        report(f"it has {ranks} data-parallel ranks; the profile is that of one")
    if others:
        report(f"it serves {others} requests of others now: what they take part in is left out, and the fit is less exact")
    await load.calibrate()
    prefills, decodes = await _measure(load, Limits(context=context, pool=pool, requests=running), report, seconds)
    found = fit_cost(prefills, decodes)
    _report_errors(found, report)
    return _profile(found, can, info, pool=pool, context=context, chunk=chunk, running=running)


async def _server_info(transport: Transport, where: str, can: Capabilities) -> dict[str, Any]:
    if can.kind == "openai":
        raise InputError(f"{where} is not SGLang: a profile is fitted to what SGLang tells in /server_info and /v1/loads")
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            info = read_json(await transport.ask("GET", "/server_info"))
    except TimeoutError:
        raise EngineSilent(f"{where}: no answer to /server_info within {_PROBE_TIMEOUT_S:g} s") from None
    if not isinstance(info, dict):
        raise InputError(f"{where}: this release of SGLang has no /server_info; fitting needs 0.5.23 or later")
    if info.get("speculative_algorithm"):
        raise InputError(f"{where} decodes speculatively, which is not simulated; fit it started without --speculative-algorithm")
    return info


def _pool(can: Capabilities, where: str) -> int:
    if can.capacity_tokens is None:
        raise EngineError(f"{where}: /server_info does not tell the size of the KV pool (max_total_num_tokens)")
    return can.capacity_tokens


async def _measure(
    load: Load, limits: Limits, report: Callable[[str], None], seconds: float
) -> tuple[list[PrefillPoint], list[DecodePoint]]:
    """The median of each shape over the passes that the time allows; the first is always finished."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    talks, storms = conversations(limits), bursts(limits)
    prefills: list[list[PrefillPoint]] = [[] for talk in talks for _ in talk.added]
    decodes: list[list[DecodePoint]] = [[] for _ in storms]
    for number in range(1, _PASSES + 1):
        began = loop.time()
        points = [point for talk in talks for point in await load.converse(talk)]
        for kept, point in zip(prefills, points, strict=True):
            kept.extend([point] if point is not None else [])
        for seen, storm in zip(decodes, storms, strict=True):
            step = await load.burst(storm)
            seen.extend([step] if step is not None else [])
        usable = sum(map(bool, prefills)), sum(map(bool, decodes))
        report(
            f"pass {number} of {_PASSES}: {usable[0]} of {len(prefills)} prefills, {usable[1]} of {len(decodes)} decode batches"
        )
        if 2 * loop.time() - began > end:  # another pass would end too late
            break
    return (
        [sorted(kept, key=lambda point: point.seconds)[len(kept) // 2] for kept in prefills if kept],
        [sorted(seen, key=lambda point: point.seconds)[len(seen) // 2] for seen in decodes if seen],
    )


def _report_errors(found: Fit, report: Callable[[str], None]) -> None:
    for what, errors in (("prefill", found.prefill_errors), ("decode", found.decode_errors)):
        sizes = [abs(error) for error in errors]
        report(f"{what}: {len(sizes)} points, error of the fit: median {statistics.median(sizes):.1%}, worst {max(sizes):.1%}")


def _profile(
    found: Fit, can: Capabilities, info: dict[str, Any], *, pool: int, context: int, chunk: int, running: int
) -> Profile:
    told = can.models[0] if can.models else str(info.get("model_path") or "")
    model = "".join(character for character in told if character.isprintable()).strip() or "fitted"
    tp = positive(info.get("tp_size")) or 1
    return Profile(
        name=model,
        model=model,
        gpu=None,
        tp=tp,
        gpus=tp,
        cost=found.cost,
        pool_tokens=pool,
        kv_bytes_per_token=_kv_bytes(info, pool, tp),
        context_length=context,
        chunked_prefill_size=chunk,
        max_prefill_tokens=positive(info.get("max_prefill_tokens")) or MAX_PREFILL_TOKENS,
        max_running_requests=running,
        page_size=positive(info.get("page_size")) or 1,
    )


def _state(info: dict[str, Any]) -> dict[str, Any]:
    states: Sequence[Any] = info.get("internal_states") or ()
    return states[0] if states and isinstance(states[0], dict) else {}


def _running(info: dict[str, Any]) -> int | None:
    """Requests that run at once on one rank; what was asked for may have been cut to the pool."""
    return positive(_state(info).get("effective_max_running_requests_per_dp")) or positive(info.get("max_running_requests"))


def _kv_bytes(info: dict[str, Any], pool: int, tp: int) -> int:
    """From the pool's size in GiB per rank, told with two decimals; 1 where that says nothing."""
    gib = (_state(info).get("memory_usage") or {}).get("kvcache")
    return max(1, round(gib * _GIB * tp / pool)) if isinstance(gib, (int, float)) and math.isfinite(gib) else 1
