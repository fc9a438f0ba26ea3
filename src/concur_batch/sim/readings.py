"""What the server tells of itself: counters that are always right, and gauges that are as stale as SGLang's.

After `scheduler_components/metrics_reporter.py`, `load_inquirer.py` and `scheduler.py` (0.5.23): the gauges are written at
every prefill batch and at every 40th decode step, the snapshot for `/v1/loads` at every prefill batch, at every 15th decode
step since, and when the engine goes idle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

HIT_RATE_WINDOW_S = 15.0  # of the estimate of how much of the queue has to be computed
STALE_S = 30.0  # after which an idle engine writes its gauges again, and a rate of decoding is no longer told
STEP_MOST_US = 2_000_000  # longer decode steps are left out of the moments


@dataclass(slots=True)
class Counters:
    """Since the start. Tokens unless said otherwise; names as in the metrics, `prefill_*` of `/v1/loads`."""

    prefill_compute: int = 0
    prefill_cache: int = 0
    decode: int = 0
    device_hit: int = 0  # these three without what is prefilled again after a retraction
    host_hit: int = 0
    input: int = 0
    evicted: int = 0
    load_back: int = 0
    retracted_requests: int = 0
    retracted_input: int = 0
    retracted_output: int = 0
    prefill_busy_us: int = 0
    decode_moments: list[float] = field(
        default_factory=lambda: [0.0] * 6
    )  # n, sum B, sum t, sum B*B, sum B*t, generated; t in us


@dataclass(frozen=True, slots=True)
class Gauges:
    """As last written."""

    running: int = 0  # at a prefill batch: before that batch joins
    queued: int = 0
    used: int = 0  # locked tokens
    available: int = 0
    evictable: int = 0
    cache_hit_rate: float = 0.0  # of the last prefill batch alone
    gen_throughput: float = 0.0
    sum_seq_lens: int = 0
    new_token_ratio: float = 0.0
    retracted: int = 0  # since the last report
    running_by: Mapping[int, int] = field(default_factory=dict)  # by priority; with priority scheduling only
    queued_by: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loads:
    """The snapshot for `/v1/loads`. `time`: when it was taken, engine seconds."""

    time: float = 0.0
    running: int = 0
    queued: int = 0
    used: int = 0
    queued_tokens: int = 0  # prompts of waiting requests
    queued_uncached_tokens: int = 0  # estimate
    gen_throughput: float = 0.0
    cache_hit_rate: float = 0.0
    prefill_uncached_total: int = 0
    prefill_busy_us_total: int = 0
    decode_moments: tuple[float, ...] | None = None


class RecentHits:
    """The share of cached prompt tokens over 15 seconds up to the last prefill batch."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, int, int]] = deque()
        self._hit = 0
        self._all = 0

    def add(self, time: float, hit: int, tokens: int) -> None:
        """One prefill batch: of so many tokens, so many were cached."""
        self._batches.append((time, hit, tokens))
        self._hit += hit
        self._all += tokens
        while self._batches[0][0] < time - HIT_RATE_WINDOW_S:
            _, old_hit, old_tokens = self._batches.popleft()
            self._hit -= old_hit
            self._all -= old_tokens

    @property
    def rate(self) -> float:
        """0 where there was none."""
        return self._hit / self._all if self._all else 0.0
