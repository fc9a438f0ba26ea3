"""What the server tells of itself: /server_info, /model_info, /v1/models."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.loads import kv_cache_gb
from concur_batch.engine.server.replying import as_json
from concur_batch.engine.server.service import Service
from concur_batch.engine.statistics import SIMULATOR_KEY
from concur_batch.sim.core import INPUT_MARGIN

_GRAPHS = dict.fromkeys(("prefill", "decode", "target_verify", "draft_prefill", "draft_decode", "draft_extend"), 0.0)


async def models(request: Request) -> Response:
    """The one that is served."""
    service: Service = request.app.state.service
    return as_json({"object": "list", "data": [_card(service)]})


async def model(request: Request) -> Response:
    """By name."""
    service: Service = request.app.state.service
    name = request.path_params["model"]
    if name != service.settings.model:
        told = {"message": f"The model '{name}' does not exist", "type": "invalid_request_error"}
        return as_json({"error": {**told, "param": "model", "code": "model_not_found"}}, 404)
    return as_json(_card(service))


def _card(service: Service) -> dict[str, Any]:
    name = service.settings.model
    return {
        "id": name,
        "object": "model",
        "created": int(service.wall()),
        "owned_by": "sglang",
        "root": name,
        "parent": None,
        "max_model_len": service.options.context_length,
    }


async def model_info(request: Request) -> Response:
    """Of a dense decoder for text."""
    service: Service = request.app.state.service
    name = service.settings.model
    return as_json(
        {
            "model_path": name,
            "served_model_name": name,
            "tokenizer_path": name,
            "is_generation": True,
            "preferred_sampling_params": None,
            "weight_version": "default",
            "load_format": "dummy",
            "reasoning_parser": None,
            "tool_call_parser": None,
            "disaggregation_mode": "null",
            "has_image_understanding": False,
            "has_audio_understanding": False,
            "model_type": None,
            "architectures": None,
        }
    )


async def server_info(request: Request) -> Response:
    """Options by SGLang's names, the pool, the scheduler's state, and that all of it is simulated."""
    service: Service = request.app.state.service
    service.pump.settle()
    settings, options = service.settings, service.options
    arguments = _arguments(service)
    capacity = service.core.cache.capacity
    state = {
        **arguments,
        "world_size": options.gpus,
        "effective_max_running_requests_per_dp": options.max_running_requests,
        "last_gen_throughput": service.core.reporter.last_throughput,
        "memory_usage": {
            "weight": 0.0,
            "kvcache": kv_cache_gb(service),
            "startup_available": 0.0,
            "token_capacity": capacity,
            "token_capacity_swa": None,
            "graph": _GRAPHS,
        },
    }
    return as_json(
        {
            **arguments,
            "launch_command": f"--profile {settings.profile} --port {settings.port}",
            "status": "ready",
            "max_total_num_tokens": capacity,
            "max_req_input_len": service.core.longest - INPUT_MARGIN,
            "startup_time": {},
            "kv_events": None,
            "internal_states": [state],
            "version": options.version,
            "frontend": "python",
            SIMULATOR_KEY: True,
            "concur_speed": settings.speed,
            "concur_profile": settings.profile,
        }
    )


def _arguments(service: Service) -> dict[str, Any]:
    settings, options = service.settings, service.options
    return {
        "model_path": settings.model,
        "tokenizer_path": settings.model,
        "served_model_name": settings.model,
        "load_format": "dummy",
        "dtype": "bfloat16",
        "quantization": None,
        "kv_cache_dtype": "auto",
        "context_length": options.context_length,
        "max_running_requests": options.max_running_requests,
        "max_queued_requests": None,
        "max_total_tokens": options.capacity_tokens,
        "chunked_prefill_size": options.chunked_prefill_size,
        "max_prefill_tokens": options.max_prefill_tokens,
        "enable_mixed_chunk": False,
        "schedule_policy": options.schedule_policy,
        "schedule_conservativeness": options.schedule_conservativeness,
        "enable_priority_scheduling": options.priority_scheduling,
        "schedule_low_priority_values_first": False,
        "priority_scheduling_preemption_threshold": options.preemption_threshold,
        "page_size": options.page_size,
        "radix_eviction_policy": "lru",
        "disable_radix_cache": False,
        "disable_overlap_schedule": True,
        "stream_interval": 1,
        "device": "cuda",
        "tp_size": options.gpus,
        "pp_size": 1,
        "dp_size": 1,
        "ep_size": 1,
        "host": settings.host,
        "port": settings.port,
        "api_key": None,  # whether there is one is nobody's business
        "weight_version": "default",
        "enable_cache_report": settings.cache_report,
        "enable_metrics": settings.metrics,
        "enable_session_radix_cache": options.session_cache,
        "enable_hierarchical_cache": options.host_ratio > 0,
        "hicache_ratio": options.host_ratio or 2.0,
        "hicache_size": 0,
        "hicache_write_policy": "write_through",
        "decode_log_interval": options.decode_log_interval,
        "load_snapshot_publish_interval": options.load_publish_interval,
        "tool_call_parser": None,
        "reasoning_parser": None,
        "speculative_algorithm": None,
        "disaggregation_mode": "null",
    }
