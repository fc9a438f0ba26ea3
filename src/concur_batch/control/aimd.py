"""The paper's law (arXiv:2601.22705, equation 1): additive increase, multiplicative decrease of the window on agents.

    W <- W + alpha     if U < U_low
    W <- W * beta      if U > U_high and H < H_thresh
    W <- W             otherwise

The paper's symbols are the fields of `AimdParameters`; what it leaves open (interval, first, least and greatest window,
rounding, slow start, what U counts, smoothing) is a field there, too, with our choice as the default.
"""

from __future__ import annotations

from collections import deque
from math import fsum
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from concur_batch.control.base import Limit, Sample


class AimdParameters(BaseModel):
    """All constants. [paper]: given there; [open]: our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(2.0, gt=0, description="agents added when U < u_low [paper]")
    beta: float = Field(0.5, gt=0, lt=1, description="factor of a cut [paper]")
    u_low: float = Field(0.2, ge=0, le=1, description="below this share the window grows [paper]")
    u_high: float = Field(0.5, ge=0, le=1, description="above this share it may be cut [paper]")
    h_thresh: float = Field(0.2, ge=0, le=1, description="hit rate below which it is cut [paper]")
    u: Literal["locked", "resident", "committed"] = Field(
        "locked", description="what U counts: KV of running requests, all cached KV, or contexts of active agents [open]"
    )
    interval_s: float = Field(1.0, gt=0, description="seconds of engine time between two steps of the law [open]")
    h_window_s: float = Field(15.0, gt=0, description="H is averaged over so many seconds [open; the paper does not smooth]")
    u_window_s: float = Field(0.0, ge=0, description="U is averaged over so many seconds; 0: the last reading [open]")
    first: int = Field(8, ge=1, description="window before the first sample [open]")
    floor: int = Field(2, ge=1, description="least window [open]")
    ceiling: int | None = Field(None, ge=1, description="greatest window; none: --max-agents [open]")
    slow_start: bool = Field(default=False, description="double instead of + alpha until the first cut [open]")
    rounding: Literal["floor", "nearest", "ceil"] = Field("floor", description="from the law's real W to agents [open]")
    fallback: int = Field(64, ge=1, description="fixed window where the engine tells nothing about its cache [open]")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.u_low > self.u_high:
            if "u_low" in self.model_fields_set:
                raise ValueError(f"u_low: should not be above u_high, which is {self.u_high:g} (got {self.u_low:g})")
            raise ValueError(f"u_high: should not be below u_low, which is {self.u_low:g} (got {self.u_high:g})")
        if "floor" in self.model_fields_set and self.ceiling is not None and self.floor > self.ceiling:
            raise ValueError(f"floor: should not be above ceiling, which is {self.ceiling} (got {self.floor})")
        return self


class _Point(NamedTuple):
    time: float
    prompt: int
    cached: int | None  # told by replies
    prefill: int | None  # told by the engine
    u: float | None


class Aimd:
    """Equation 1 on the samples of one engine."""

    def __init__(self, parameters: AimdParameters, max_agents: int) -> None:
        self._p = p = parameters
        self._ceiling = min(p.ceiling or max_agents, max_agents)
        self._floor = min(p.floor, self._ceiling)
        self._window = float(min(p.first, self._ceiling))
        self._points: deque[_Point] = deque()
        self._stepped: float | None = None  # time of the last step of the law
        self._slow_start = p.slow_start
        self._tells_u = False  # this engine has told U before: without a reading now, there is no evidence now

    @property
    def first(self) -> Limit:
        """The window before the first sample."""
        return self._limit("first")

    def update(self, sample: Sample) -> Limit:
        """One step of the law per interval; between two steps the window holds."""
        u = self._utilisation(sample)
        self._tells_u = self._tells_u or u is not None
        self._points.append(_Point(sample.time, sample.prompt_tokens, sample.cached_tokens, sample.prefill_tokens, u))
        horizon = sample.time - max(self._p.h_window_s, self._p.u_window_s)
        while self._points[0].time <= horizon:
            self._points.popleft()
        if self._stepped is not None and sample.time - self._stepped < 0.9 * self._p.interval_s:  # timers jitter
            return self._limit("hold")
        self._stepped = sample.time
        if not self._tells_u:
            return self._without_u(sample)
        if u is None:
            return self._limit("no-evidence")
        return self._law(self._mean_u(sample.time), self._hit_rate(sample.time), sample)

    def _law(self, u: float, hit_rate: float | None, sample: Sample) -> Limit:
        p = self._p
        if u < p.u_low:
            return self._grow(sample)
        if u > p.u_high:
            if hit_rate is None:
                return self._limit("no-evidence")
            if hit_rate < p.h_thresh:
                return self._cut()
        return self._limit("hold")

    def _without_u(self, sample: Sample) -> Limit:
        """No share of the pool is told. Replies alone: grow while the cache hits, cut where the law would. Nothing at all: fixed."""
        if sample.prompt_tokens == 0:
            return self._limit("no-evidence")
        if _cached(sample) is None:
            self._window = float(min(self._p.fallback, self._ceiling))
            return self._limit(f"no cache evidence: fixed:{self._p.fallback}")
        hit_rate = self._hit_rate(sample.time)
        if hit_rate is not None and hit_rate < self._p.h_thresh:
            return self._cut() if sample.history_tokens else self._limit("hold")
        return self._grow(sample)

    def _grow(self, sample: Sample) -> Limit:
        if self._window >= self._ceiling:
            return self._limit("hold")
        if sample.held_back or (sample.prompt_tokens == 0 and not sample.running_requests):
            return self._limit("no-evidence")  # without traffic an engine says nothing about how much it could take
        self._window = min(float(self._ceiling), self._window * 2 if self._slow_start else self._window + self._p.alpha)
        return self._limit("grow")

    def _cut(self) -> Limit:
        self._slow_start = False
        if self._window <= self._floor:
            return self._limit("hold")
        self._window = max(float(self._floor), self._window * self._p.beta)
        return self._limit("cut")

    def _limit(self, reason: str) -> Limit:
        match self._p.rounding:
            case "floor":
                agents = int(self._window)
            case "nearest":
                agents = int(self._window + 0.5)
            case _:
                agents = -int(-self._window // 1)
        return Limit(agents=max(self._floor, min(self._ceiling, agents)), reason=reason)

    def _utilisation(self, sample: Sample) -> float | None:
        match self._p.u:
            case "locked":
                return sample.locked
            case "resident":
                return sample.resident
            case _:
                return sample.committed_tokens / sample.capacity_tokens if sample.capacity_tokens else None

    def _mean_u(self, now: float) -> float:
        told = [point.u for point in self._points if point.u is not None]
        if self._p.u_window_s:
            recent = [point.u for point in self._points if point.u is not None and point.time > now - self._p.u_window_s]
            told = recent or told[-1:]
            return fsum(told) / len(told)  # sum() rounds otherwise since Python 3.12
        return told[-1]

    def _hit_rate(self, now: float) -> float | None:
        """Cached / prompt tokens over the last `h_window_s`. None: no prompt tokens, so no evidence.

        From replies, or else what the engine did not have to compute. Never from both: what is computed in one interval is
        replied in another, so each miss would count twice.
        """
        recent = [point for point in self._points if point.time > now - self._p.h_window_s]
        told = [(point.prompt, point.cached) for point in recent if point.cached is not None]
        if not told:
            told = [(point.prompt, point.prompt - point.prefill) for point in recent if point.prefill is not None]
        prompt = sum(prompt for prompt, _ in told)
        return max(0.0, sum(cached for _, cached in told) / prompt) if prompt else None


def _cached(sample: Sample) -> int | None:
    """Cached tokens of the interval, from replies, or else what the engine did not have to compute. None: it tells neither."""
    if sample.cached_tokens is not None:
        return sample.cached_tokens
    return None if sample.prefill_tokens is None else sample.prompt_tokens - sample.prefill_tokens
