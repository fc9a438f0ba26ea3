"""What a simulated server is started with; names as SGLang's own flags where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """One server. Token counts unless said otherwise; defaults as SGLang 0.5.23 has them on an H100."""

    capacity_tokens: int  # KV pool (max_total_num_tokens)
    context_length: int = 131_072
    page_size: int = 1
    chunked_prefill_size: int = 8_192
    max_prefill_tokens: int = 16_384
    max_running_requests: int = 2_048
    schedule_policy: Literal["fcfs", "lpm"] = "fcfs"
    schedule_conservativeness: float = 1.0
    priority_scheduling: bool = False
    preemption_threshold: int = 10  # difference of priorities
    session_cache: bool = False  # --enable-session-radix-cache
    host_ratio: float = 0.0  # host memory of HiCache as a multiple of the pool; 0: no host tier
    host_gb_per_s: float = 25.0  # between host and each GPU
    kv_bytes_per_token: int = 147_456  # over all ranks
    gpus: int = 1
    version: Literal["0.5.23", "0.5.8"] = "0.5.23"
    decode_log_interval: int = 40  # decode steps between two refreshes of the gauges
    load_publish_interval: int = 15  # decode steps between two snapshots for /v1/loads

    @property
    def is_old(self) -> bool:
        """Behaves as 0.5.8: evicts more than it needs, does not spare the prefixes of waiting requests."""
        return self.version == "0.5.8"
