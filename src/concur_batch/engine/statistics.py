"""What SGLang tells of itself, from text and dicts to our words. Pure; releases from 0.5.8 on.

Shares are those of the fullest data-parallel rank, token counts are summed over ranks, busy seconds are the mean of ranks, which work side by side. Of tensor- and pipeline-parallel
ranks all report the same pool, so they are never summed.

What comes out has the types it says, whatever came in: records are read back strictly, and one number of another type would
make a whole journal unreadable. Numbers that cannot be are left out, as if the server had not told them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from concur_batch.engine.base import Capabilities, EngineStats

SIMULATOR_KEY = "concur_simulator"  # in /server_info of our own simulator's HTTP server

_GAUGES = {
    "sglang:max_total_num_tokens",
    "sglang:token_usage",
    "sglang:kv_available_tokens",
    "sglang:kv_evictable_tokens",
    "sglang:kv_used_tokens",
    "sglang:num_running_reqs",
    "sglang:num_queue_reqs",
}
_EVICTED = "sglang:evicted_tokens_total"
_REALTIME = "sglang:realtime_tokens_total"
_MOST = 2**53  # nothing told here comes near it; beyond, floats are not exact, and sums outgrow the columns of our results
_WANTED = tuple(f"{name}{end}" for name in (*sorted(_GAUGES), _EVICTED, _REALTIME) for end in "{ ")


def is_server_info(info: Any) -> bool:
    """Whether this is SGLang's /server_info: other servers may answer that path too."""
    return isinstance(info, dict) and ("max_total_num_tokens" in info or "internal_states" in info)


def from_server_info(info: dict[str, Any], capabilities: Capabilities) -> Capabilities:
    """`capabilities` with what /server_info adds. The pool is given per rank there."""
    pool = positive(info.get("max_total_num_tokens"))
    states = info.get("internal_states")
    if pool is None and isinstance(states, list) and states and isinstance(states[0], dict):
        pool = _pool(states[0], "memory_usage")
    ranks = positive(info.get("dp_size")) or 1
    version = info.get("version")
    return replace(
        capabilities,
        kind="sim" if info.get(SIMULATOR_KEY) else "sglang",
        version=version if isinstance(version, str) else None,
        context_length=positive(info.get("context_length")) or capabilities.context_length,
        capacity_tokens=positive((pool or 0) * ranks),
        cache_report=bool(info.get("enable_cache_report")),
        session_close=bool(info.get("enable_session_radix_cache")),
        # ours are larger for more urgent; a server set the other way round is better left without
        priority=bool(info.get("enable_priority_scheduling")) and not info.get("schedule_low_priority_values_first"),
        abort=True,
        speed=float(_number(info.get("concur_speed")) or 1.0) if info.get(SIMULATOR_KEY) else 1.0,
    )


def from_models(data: Any, capabilities: Capabilities) -> Capabilities | None:
    """`capabilities` with what /v1/models adds; None where that is no list of models."""
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return None
    models = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    lengths = {length for row in models if (length := positive(row.get("max_model_len"))) is not None}
    common = lengths.pop() if len(lengths) == 1 else None  # of several, each model's own is left to the server
    return replace(
        capabilities,
        models=tuple(row["id"] for row in models),
        context_length=capabilities.context_length or common,
    )


def from_loads(data: Any) -> EngineStats | None:
    """A reading from /v1/loads; None where that is something else, or tells nothing that can be."""
    loads = data.get("loads") if isinstance(data, dict) else None
    if not isinstance(loads, list) or not loads or not all(isinstance(load, dict) for load in loads):
        return None
    busy_us = _numbers(load.get("total_prefill_busy_us") for load in loads)
    stats = EngineStats(
        capacity_tokens=_count(_pool(load, "memory") for load in loads),
        locked=_share(load.get("token_usage") for load in loads),
        running_requests=_count(load.get("num_running_reqs") for load in loads),
        queued_requests=_count(load.get("num_waiting_reqs") for load in loads),
        prefill_tokens_total=_count(load.get("total_prefill_uncached_tokens") for load in loads),
        prefill_busy_seconds_total=sum(busy_us) / len(busy_us) / 1e6 if busy_us else None,
        epoch=_max(load.get("timestamp") for load in loads),
    )
    return None if replace(stats, capacity_tokens=None, epoch=None) == EngineStats() else stats


def from_get_load(data: Any, capacity_tokens: int | None) -> EngineStats | None:
    """A reading from /get_load (removed after 0.5.17); None where that is something else, or tells nothing that can be.

    Its `num_tokens` adds the prompts of waiting requests to the locked tokens, so the share is known only while none waits.
    """
    loads = [data] if isinstance(data, dict) else data
    if not isinstance(loads, list) or not loads or not all(isinstance(x, dict) and "num_reqs" in x for x in loads):
        return None
    requests = _count(load.get("num_reqs") for load in loads)
    if requests is None:
        return None
    waiting = _count(load.get("num_waiting_reqs") for load in loads) or 0
    rank_capacity = capacity_tokens / len(loads) if capacity_tokens else None
    fullest = _max(load.get("num_tokens") for load in loads)
    known = rank_capacity is not None and fullest is not None and not waiting
    return EngineStats(
        capacity_tokens=capacity_tokens,
        locked=min(1.0, fullest / rank_capacity) if known and fullest is not None and rank_capacity else None,
        running_requests=max(0, requests - waiting),
        queued_requests=waiting,
        epoch=_max(load.get("ts_tic") for load in loads),
    )


def from_metrics(text: str) -> EngineStats | None:
    """A reading from /metrics; None where nothing of SGLang's is in it, or a line of it is broken off. The rate of cache hits there is not used: it is
    that of the last batch only, and older releases overwrite it with 0 at every decode report.
    """
    try:
        samples = list(_samples(text))
    except ValueError:
        return None
    ranks: dict[str, dict[str, float]] = {}  # of each data-parallel rank the largest values, over its other ranks and processes
    for name, labels, value in samples:
        if labels.get("priority"):  # "" is the total over all priorities
            continue
        if name == _REALTIME:
            if labels.get("mode") != "prefill_compute":
                continue
        elif name != _EVICTED and name not in _GAUGES:
            continue
        if _number(value) is not None:
            row = ranks.setdefault(labels.get("dp_rank", "0"), {})
            row[name] = max(value, row.get(name, value))
    if not ranks:
        return None
    rows = list(ranks.values())
    return EngineStats(
        capacity_tokens=positive(_count(_capacity(row) for row in rows)),
        locked=_share(row.get("sglang:token_usage") for row in rows),
        resident=_share(_resident(row) for row in rows),
        running_requests=_count(row.get("sglang:num_running_reqs") for row in rows),
        queued_requests=_count(row.get("sglang:num_queue_reqs") for row in rows),
        evicted_tokens_total=_evicted(rows),
        prefill_tokens_total=_count(row.get(_REALTIME) for row in rows),
    )


def is_exposition(text: str) -> bool:
    """Whether this is a page of metrics, whatever is in it, and can be read."""
    try:
        return not text.lstrip().startswith("<") and all(True for _ in _samples(text))
    except ValueError:
        return False


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    # 700 lines come, of which a dozen are wanted: parsing all of them takes 40 ms of CPU.
    lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _capacity(row: dict[str, float]) -> float | None:
    pool = row.get("sglang:max_total_num_tokens")
    if pool is not None:
        return pool
    parts = [row.get(f"sglang:kv_{part}_tokens") for part in ("available", "evictable", "used")]
    return sum(part for part in parts if part is not None) if None not in parts else None


def _resident(row: dict[str, float]) -> float | None:
    """Locked + evictable = all that is not free."""
    free, capacity = row.get("sglang:kv_available_tokens"), _capacity(row)
    return max(0.0, 1 - free / capacity) if free is not None and capacity else None


def _evicted(rows: list[dict[str, float]]) -> int | None:
    """The counter shows up with the first eviction; where the pool's gauges are there and it is not, it stands at 0."""
    total = _count(row.get(_EVICTED) for row in rows)
    if total is None and any("sglang:kv_evictable_tokens" in row for row in rows):
        return 0
    return total


def _pool(told: dict[str, Any], memory: str) -> int | None:
    """One rank's tokens: told flat, or by some releases under `memory`."""
    parts = told.get(memory)
    nested = parts.get("token_capacity") if isinstance(parts, dict) else None
    return positive(told.get("max_total_num_tokens")) or positive(nested)


def _sum(values: Iterable[Any]) -> float | None:
    known = _numbers(values)
    return sum(known) if known else None


def _count(values: Iterable[Any]) -> int | None:
    total = _sum(values)
    return None if total is None else round(total)


def _max(values: Iterable[Any]) -> float | None:
    return max(map(float, _numbers(values)), default=None)


def _share(values: Iterable[Any]) -> float | None:
    """The largest; above 1 there is none."""
    largest = _max(values)
    return None if largest is None else min(1.0, largest)


def _numbers(values: Iterable[Any]) -> list[float]:
    return [number for value in values if (number := _number(value)) is not None]


def _number(value: Any) -> float | None:
    """The value if it is a number that can be: nothing told here goes below 0; NaN, infinities, absurd sizes and bools are no numbers."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MOST else None


def positive(value: Any) -> int | None:
    """The value if it is a whole number above 0, also where it is written as 131072.0."""
    number = _number(value)
    return int(number) if number is not None and number > 0 and number % 1 == 0 else None
