"""The running sums that SGLang keeps of its iterations, in /v1/loads. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PREFILL = ("total_prefill_uncached_tokens", "total_prefill_busy_us")
_DECODE = "decode_moments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Since the server's start, over its data-parallel ranks (sglang/srt/managers/scheduler.py:424 and 5110 to 5180, 0.5.23).

    Decode steps count only where the iteration before was one too; their time is from launch to launch.
    """

    running_requests: int  # now
    prefill_tokens: int  # computed, not found in the cache
    prefill_s: float
    decode_steps: float
    decode_requests: float  # summed over steps
    decode_s: float
    generated_tokens: float  # in the steps counted

    def since(self, before: Sums) -> Sums:
        """The difference; `running_requests` as of now."""
        return Sums(
            running_requests=self.running_requests,
            prefill_tokens=self.prefill_tokens - before.prefill_tokens,
            prefill_s=self.prefill_s - before.prefill_s,
            decode_steps=self.decode_steps - before.decode_steps,
            decode_requests=self.decode_requests - before.decode_requests,
            decode_s=self.decode_s - before.decode_s,
            generated_tokens=self.generated_tokens - before.generated_tokens,
        )


def read_sums(loads: Any) -> Sums | None:
    """From the body of /v1/loads; None where a rank does not tell all of them, as before 0.5.23.

    `decode_moments` is null until the first step; then steps, requests, microseconds, requests squared, requests times
    microseconds, generated tokens, each summed over steps.
    """
    ranks = loads.get("loads") if isinstance(loads, dict) else None
    if not isinstance(ranks, list) or not ranks:
        return None
    totals = [0.0] * 9
    for rank in ranks:
        if not isinstance(rank, dict) or _DECODE not in rank:
            return None
        moments = rank[_DECODE] if rank[_DECODE] is not None else [0.0] * 6
        if not isinstance(moments, list) or len(moments) != 6:
            return None
        values = [rank.get("num_running_reqs"), *(rank.get(key) for key in _PREFILL), *moments]
        if not all(isinstance(value, (int, float)) for value in values):
            return None
        totals = [total + value for total, value in zip(totals, values, strict=True)]
    running, tokens, prefill_us, steps, requests, decode_us, _, _, generated = totals
    return Sums(
        running_requests=int(running),
        prefill_tokens=int(tokens),
        prefill_s=prefill_us / 1e6,
        decode_steps=steps,
        decode_requests=requests,
        decode_s=decode_us / 1e6,
        generated_tokens=generated,
    )
