"""What a reply tells of itself: token counts, and `meta_info` with its times."""

from __future__ import annotations

from typing import Any

from concur_batch.engine.server.service import Service
from concur_batch.sim.call import Call

_WEIGHTS = "default"


def usage(service: Service, call: Call) -> dict[str, Any]:
    """OpenAI's usage, as SGLang fills it (entrypoints/openai/usage_processor.py)."""
    details = {"cached_tokens": call.cached_tokens} if service.settings.cache_report else None
    return {
        "prompt_tokens": call.prompt_tokens,
        "total_tokens": call.prompt_tokens + call.generated,
        "completion_tokens": call.generated,
        "prompt_tokens_details": details,
        "reasoning_tokens": 0,
        "completion_tokens_details": None,
    }


def metadata(call: Call) -> dict[str, Any]:
    """Which weights it came from."""
    return {"weight_version": _WEIGHTS, "weight_versions": _spans(call)}


def cached_details(call: Call) -> dict[str, int] | None:
    """Cached prompt tokens by where they were; None where there were none."""
    if not call.cached_tokens:
        return None
    return {"device": call.cached_tokens - call.host_cached_tokens, "host": call.host_cached_tokens}


def sglext(call: Call) -> dict[str, Any] | None:
    """SGLang's addition to a reply, for `return_cached_tokens_details`."""
    details = cached_details(call)
    return {"cached_tokens_details": details} if details else None


def meta_info(service: Service, call: Call, reason: str | None) -> dict[str, Any]:
    """Of a call that has ended, or, where `reason` is None, still goes on. Durations in engine seconds; times since 1970."""
    told: dict[str, Any] = {
        "id": call.rid,
        "finish_reason": _finish(call, reason),
        "prompt_tokens": call.prompt_tokens,
        "weight_version": _WEIGHTS,
        "num_retractions": call.retractions,
        "storage_prefetch_wait": 0.0,
        "storage_staging_wait": 0.0,
    }
    if call.admitted_at is not None:
        told["forward_entry_time"] = service.wall(call.admitted_at)
        if call.first_token_at is not None:
            told["prefill_finished_time"] = service.wall(call.first_token_at)
        told["queue_time"] = call.admitted_at - call.arrived_at
    told |= {
        "reasoning_tokens": 0,
        "completion_tokens": call.generated,
        "cached_tokens": call.cached_tokens,
        "weight_versions": _spans(call),
        "cached_tokens_details": cached_details(call),
        "dp_rank": None,
    }
    return told | _times(service, call) if call.finished_at is not None else told


def _times(service: Service, call: Call) -> dict[str, Any]:
    assert call.finished_at is not None
    arrived, finished = service.wall(call.arrived_at), service.wall(call.finished_at)
    told: dict[str, Any] = {"e2e_latency": call.finished_at - call.arrived_at, "request_received_ts": arrived}
    if call.first_token_at is not None:
        told["first_token_latency"] = call.first_token_at - call.arrived_at
    told |= {"api_server_dispatch_finish_ts": arrived, "request_finished_ts": finished}
    if call.first_token_at is not None and call.generated > 1 and call.finished_at > call.first_token_at:
        told["decode_throughput"] = (call.generated - 1) / (call.finished_at - call.first_token_at)
    return told | {"response_sent_to_client_ts": finished}


def _finish(call: Call, reason: str | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    if reason == "abort":
        return {"type": "abort", "message": call.message or "Aborted", "status_code": None, "err_type": None}
    return {"type": "length", "length": call.generated} if reason == "length" else {"type": "stop", "matched": None}


def _spans(call: Call) -> list[dict[str, Any]]:
    return [{"version": _WEIGHTS, "start": 0, "end": call.generated}]
