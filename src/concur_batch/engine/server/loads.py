"""/v1/loads of 0.5.23 (managers/load_snapshot.py) and /get_load of 0.5.8: what the scheduler published last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.problems import Fault, Problem
from concur_batch.engine.server.replying import as_json
from concur_batch.engine.server.service import Service

_SECTIONS = {"core", "memory", "spec", "lora", "disagg", "queues", "all"}
_PREFIXES = {"disaggregation": "disagg"}  # of the text form


async def loads(request: Request) -> Response:
    """One entry: there is one data-parallel rank."""
    service: Service = request.app.state.service
    if service.options.is_old:
        raise HTTPException(404)
    query = request.query_params
    include = {part.strip() for part in query["include"].split(",")} if query.get("include") else {"all"}
    if not include <= _SECTIONS:  # meant to be refused with 400; the exception meant for that is raised too late to be caught
        raise Fault
    try:
        rank = int(query.get("dp_rank", "0"))
    except ValueError:
        raise Problem(
            "1 validation error:\n  ('query', 'dp_rank'): Input should be a valid integer", kind="Bad Request"
        ) from None
    service.pump.settle()
    found = [_entry(service, include)] if rank == 0 else []
    if query.get("format") == "prometheus":
        return Response(_text(found), media_type="text/plain; version=0.0.4; charset=utf-8")
    return as_json(
        {
            "timestamp": datetime.fromtimestamp(service.wall(), UTC).isoformat(),
            "version": service.options.version,
            "accelerator": None,
            "num_accelerators": service.options.gpus,
            "loads": found,
        }
    )


async def get_load(request: Request) -> Response:
    """Fresh, not a snapshot: the scheduler itself answers (scheduler_metrics_mixin.py:568 of 0.5.8)."""
    service: Service = request.app.state.service
    if not service.options.is_old:
        raise HTTPException(404)
    service.pump.settle()
    core = service.core
    return as_json(
        [
            {
                "dp_rank": None,
                "num_reqs": len(core.running) + len(core.waiting),
                "num_waiting_reqs": len(core.waiting),
                "num_tokens": core.cache.locked + core.waiting_tokens,
                "ts_tic": service.now(),
            }
        ]
    )


def _entry(service: Service, include: set[str]) -> dict[str, Any]:
    core, options, told = service.core, service.options, service.core.reporter.loads
    capacity = core.cache.capacity
    total = told.used + told.queued_tokens
    load: dict[str, Any] = {
        "timestamp": service.wall(service.now() if core.is_idle else told.time),  # an idle scheduler goes on publishing
        "dp_rank": 0,
        "num_running_reqs": told.running,
        "num_waiting_reqs": told.queued,
        "num_waiting_uncached_tokens": told.queued_uncached_tokens,
        "num_used_tokens": told.used,
        "num_total_tokens": total,
        "num_active_tokens": total,
        "num_prealloc_ready_tokens": 0,
        "max_total_num_tokens": capacity,
        "max_running_requests": options.max_running_requests,
        "token_usage": round(told.used / capacity, 4),
        "gen_throughput": round(told.gen_throughput, 2),
        "cache_hit_rate": round(told.cache_hit_rate, 4),
        "utilization": 0.0,
        "total_prefill_uncached_tokens": told.prefill_uncached_total,
        "total_prefill_busy_us": told.prefill_busy_us_total,
        "decode_moments": list(told.decode_moments) if told.decode_moments is not None else None,
    }
    wanted = ((name, section) for name, part, section in _sections(service) if "all" in include or part in include)
    return load | dict(wanted)


def _sections(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    memory = {
        "weight_gb": 0.0,
        "kv_cache_gb": kv_cache_gb(service),
        "graph_gb": 0.0,
        "token_capacity": service.core.cache.capacity,
    }
    queues = ("prefill_bootstrap", "prefill_inflight", "decode_prealloc", "decode_transfer", "decode_retracted")
    disaggregation = {
        "mode": "null",
        **{f"{queue}_queue_reqs": 0 for queue in queues},
        "kv_transfer_speed_gb_s": 0.0,
        "kv_transfer_latency_ms": 0.0,
    }
    waiting = {"waiting": service.core.reporter.loads.queued, "grammar": 0, "paused": 0, "retracted": 0, "prealloc_ready": 0}
    return [("memory", "memory", memory), ("disaggregation", "disagg", disaggregation), ("queues", "queues", waiting)]


def kv_cache_gb(service: Service) -> float:
    """Of one rank, in GiB."""
    options = service.options
    return round(service.core.cache.capacity * options.kv_bytes_per_token / options.gpus / 2**30, 3)


def _text(found: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for load in found:
        for key, value in load.items():
            if key == "dp_rank":
                continue
            parts = value.items() if isinstance(value, dict) else [("", value)]
            for part, number in parts:
                if isinstance(number, (int, float)):
                    name = f"sglang_{_PREFIXES.get(key, key)}_{part}" if part else f"sglang_{key}"
                    lines += [f"# TYPE {name} gauge", f'{name}{{dp_rank="{load["dp_rank"]}"}} {number}']
    return "\n".join(lines) + "\n"
