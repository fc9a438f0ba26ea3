"""prime-rl's rule (github.com/PrimeIntellect-ai/prime-rl, its orchestrator's concurrency controller): grow with each turnover.

    W <- W * growth^(ended / active)     if KV < grow_below, nothing queues, and active >= binding * W
    W <- active * target / KV            if KV > trim_above; above pause_above the newest agents pause, too
    W <- active * queue_cut              if the queue has been long for a while; the newest agents pause

A turnover is over when as many agents have ended as are active: what an agent will take shows only when it has lived, so the
limit grows at the pace of whole agents and not of samples. Replies do not count, nor agents that have failed before their first.
KV is the locked share: the source reads vLLM's `kv_cache_usage_perc`, for which blocks that are cached but in no running request
are free. After a cut there is no other until the active agents are within the limit and the queue is short again; one soon after
that is sharper. Missing readings change nothing, and what has ended during a long gap does not count.

The source cuts on preemptions as well, which no sample tells; preempted requests are seen in the queue. Where it cancels the
youngest, here the newest pause at their next boundary; below that mark, the limit only keeps others from starting.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.base import Admission, AgentView, Limit, Roster, Sample

_MOST_TURNOVER = 64.0  # of one step: beyond, the power need not be a number, and the limit is at its ceiling in any case


class TurnoverParameters(BaseModel):
    """All constants. [source]: prime-rl's code, whose polls are our steps; [open]: our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    growth: float = Field(1.25, gt=1, description="factor of growth per turnover [source]")
    binding: float = Field(0.9, ge=0, le=1, description="it grows only while this share of the limit is active [source]")
    grow_below: float = Field(0.6, ge=0, le=1, description="KV share below which it grows [source]")
    trim_above: float = Field(0.8, ge=0, le=1, description="KV share above which nobody starts until some have ended [source]")
    pause_above: float = Field(0.9, ge=0, le=1, description="KV share above which the newest pause [source]")
    target: float = Field(0.7, gt=0, le=1, description="KV share that a trim aims at [source]")
    trim_steps: int = Field(6, ge=1, description="steps from one trim to the next [source]")
    queue_ratio: float = Field(0.5, ge=0, description="queued per running request: more is a long queue [source]")
    queue_steps: int = Field(6, ge=1, description="steps with a long queue before it cuts [source]")
    queue_cut: float = Field(0.9, gt=0, lt=1, description="factor of a cut [source]")
    sharper_cut: float = Field(0.5, gt=0, lt=1, description="factor of a cut soon after a drain [source]")
    soon_steps: int = Field(6, ge=1, description="so many steps after a drain are soon [source]")
    interval_s: float = Field(5.0, gt=0, description="seconds of engine time between two steps of the law [source]")
    fresh_s: float = Field(15.0, gt=0, description="agents that end in a longer gap between readings do not count [source]")
    first: int | None = Field(None, ge=1, description="limit before the first reading; none: see longest_tokens [source]")
    longest_tokens: int = Field(
        32_768, ge=1, description="the first limit is the pool over this; the source takes the model's longest context [open]"
    )
    floor: int = Field(1, ge=1, description="least limit [source]")
    ceiling: int | None = Field(None, ge=1, description="greatest limit; none: --max-agents [open; the source has 1024]")
    fallback: int = Field(64, ge=1, description="fixed limit where the engine tells nothing about its cache [open]")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ceiling is not None and self.floor > self.ceiling:  # its default is 1
            raise ValueError(f"floor: should not be above ceiling, which is {self.ceiling} (got {self.floor})")
        return self


class Turnover(Admission):
    """The law on the samples of one engine; and the admission, which tells it who has ended and pauses the newest."""

    def __init__(
        self, parameters: TurnoverParameters, max_agents: int, slots: SlotAdmission, pool_tokens: int | None = None
    ) -> None:
        """`pool_tokens`: as far as it is known beforehand."""
        self._p = p = parameters
        self._slots = slots
        self._ceiling = min(p.ceiling or max_agents, max_agents)
        self._floor = min(p.floor, self._ceiling)
        self._limit = self._clamp(p.first or (pool_tokens or 0) / p.longest_tokens)
        self._derived = bool(p.first or pool_tokens)  # whether the first limit is settled
        self._tells = False  # this engine has told its KV before
        self._stepped: float | None = None  # time of the last step of the law
        self._active = 0  # at that step
        self._ended = 0  # agents since
        self._trim_in = 0  # steps until it may trim again
        self._queued = 0  # steps with a long queue, in a row
        self._soon = 0  # steps that are left in which a cut is sharper
        self._draining = False
        self._pausing = False  # the newest pause until the limit holds

    # How much --------------------------------------------------------------------------------------------------------

    @property
    def first(self) -> Limit:
        """The limit before the first sample."""
        return self._said("first")

    def update(self, sample: Sample) -> Limit:
        """One step of the law per interval; between two steps the limit holds."""
        p, active = self._p, _active(sample)
        if active <= int(self._limit):
            self._pausing = False
        if sample.locked is None:
            if self._tells:
                return self._said("no-evidence")
            self._limit = self._clamp(p.fallback)
            return self._said(f"no cache evidence: fixed:{p.fallback}")
        self._tells = True
        gap = 0.0 if self._stepped is None else sample.time - self._stepped
        if self._stepped is not None and gap < 0.9 * p.interval_s:  # timers jitter
            return self._said("hold")
        turnover = self._ended / max(1, self._active) if gap <= p.fresh_s else 0.0
        before = int(self._limit)
        reason = self._law(sample, sample.locked, turnover)
        self._stepped, self._active, self._ended = sample.time, active, 0
        return self._said("hold" if reason != "drain" and int(self._limit) == before else reason)

    def _law(self, sample: Sample, kv: float, turnover: float) -> str:
        p, active = self._p, _active(sample)
        queued, running = sample.queued_requests or 0, sample.running_requests or 0
        self._queued = self._queued + 1 if queued > p.queue_ratio * running > 0 else 0
        self._trim_in = max(0, self._trim_in - 1)
        moved = "grow"
        if not self._derived and sample.capacity_tokens:
            self._derived, self._limit, moved = True, self._clamp(sample.capacity_tokens / p.longest_tokens), "pool"
        overload = self._queued >= p.queue_steps
        if self._draining:
            if active > int(self._limit) or overload:
                return "drain"
            self._draining, self._soon = False, p.soon_steps
        self._soon = max(0, self._soon - 1)
        if overload:
            self._shrink(active * (p.sharper_cut if self._soon else p.queue_cut))
            self._draining = self._pausing = True
            self._queued = 0
            return "cut"
        if kv > p.trim_above and active and not self._trim_in:
            self._shrink(active * p.target / kv)
            self._pausing = kv > p.pause_above
            self._trim_in = p.trim_steps
            return "trim"
        if kv <= p.grow_below and not queued and not sample.held_back and active >= p.binding * int(self._limit):
            self._limit = self._clamp(self._limit * p.growth ** min(turnover, _MOST_TURNOVER))
        return moved

    def _shrink(self, agents: float) -> None:
        self._limit = min(self._limit, self._clamp(int(agents)))

    def _clamp(self, agents: float) -> float:
        return float(min(max(agents, self._floor), self._ceiling))

    def _said(self, reason: str) -> Limit:
        return Limit(agents=int(self._limit), reason=reason)

    # Who -------------------------------------------------------------------------------------------------------------

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        """A free slot."""
        return self._slots.may_start(agent, roster)

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        """False only for the newest above the limit, and only after a cut or a sharp trim."""
        return not self._pausing or self._slots.may_continue(agent, roster)

    def next_returning(self, roster: Roster) -> AgentView | None:
        """The first to be admitted."""
        return self._slots.next_returning(roster)

    def ended(self, agent: AgentView, roster: Roster) -> None:  # noqa: ARG002 - when does not matter here
        """One more of the turnover, if it has been served at all."""
        self._ended += agent.steps > 0


def _active(sample: Sample) -> int:
    """Active agents in units of the limit that this law decides, which a person may have scaled."""
    return int(sample.active / sample.factor + 1e-9)
