"""Fold the record stream into what status, dashboard and report show. Pure; memory grows with live agents, not with steps.

One dictionary entry per ended rollout is kept (its status), so that resume knows what to skip.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from concur_batch import records as r

HISTORY = 240  # samples kept per engine, for sparklines and recent speeds


@dataclass(slots=True, kw_only=True)
class LiveRollout:
    """A rollout that has started and not ended."""

    rollout: str
    engine: str
    attempt: int
    since: float  # t of its present phase
    started: float
    step: int = 0
    context_tokens: int = 0
    paused: bool = False
    yielded: bool = False  # in a tool call, without a slot
    tools: dict[int, str] = field(default_factory=dict)  # n -> name, of calls that run now

    @property
    def phase(self) -> str:
        """Paused | tool | model."""
        return "paused" if self.paused else "tool" if self.tools else "model"


@dataclass(slots=True, kw_only=True)
class EngineView:
    """One engine as the records tell of it."""

    name: str
    seen: r.EngineSeen | None = None
    lost: r.EngineLost | None = None  # while it is away
    sample: r.Sampled | None = None
    decision: r.Decided | None = None
    moved: r.Decided | None = None  # the last decision that changed the limit
    samples: deque[r.Sampled] = field(default_factory=lambda: deque(maxlen=HISTORY))
    decisions: deque[r.Decided] = field(default_factory=lambda: deque(maxlen=HISTORY))
    window_low: int | None = None  # of all limits on agents decided so far
    window_high: int | None = None
    window_first: int | None = None
    tokens_low: int | None = None  # of all limits on tokens
    tokens_high: int | None = None
    tokens_first: int | None = None


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over all replies and calls of the run."""

    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_reported_tokens: int = 0  # prompt tokens of the replies that told cached_tokens
    completion_tokens: int = 0
    history_tokens: int = 0  # of replies that told misses
    missed_tokens: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    model_s: float = 0.0
    tool_s: float = 0.0
    paused_s: float = 0.0
    wait_s: float = 0.0
    retry_s: float = 0.0
    retries: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Cached / prompt over the replies that tell; None without any."""
        return self.cached_tokens / self.cache_reported_tokens if self.cache_reported_tokens else None

    @property
    def miss_rate(self) -> float | None:
        """Missed / history; None without any."""
        return self.missed_tokens / self.history_tokens if self.history_tokens else None


class RunState:
    """`apply` records in order; read the attributes at any time."""

    def __init__(self) -> None:
        self.tasks = 0
        self.rollouts = 0
        self.segments = 0
        self.epoch = 0.0  # wall clock of the present segment's t = 0
        self.first_epoch: float | None = None
        self.time = 0.0  # t of the newest record in the present segment
        self.elapsed_before = 0.0  # seconds of earlier segments
        self.ended: dict[str, str] = {}  # rollout -> status
        self.statuses: Counter[str] = Counter()
        self.error_classes: Counter[str] = Counter()
        self._failed_as: dict[str, str] = {}  # rollout -> error class, so that another attempt takes it back
        self.live: dict[str, LiveRollout] = {}
        self.engines: dict[str, EngineView] = {}
        self.totals = Totals()
        self.segment_totals = Totals()  # since the present segment opened: what speed is measured on
        self.ended_before = 0  # rollouts ended when the present segment opened
        self.newest_error: r.RolloutFinished | None = None
        self.draining: str | None = None
        self.segment: r.SegmentStarted | None = None
        self.finished: str | None = None  # cause, once the present segment has its last line
        self.lag_s = 0.0  # of the newest sample
        self.runner: r.RunnerMeasured | None = None  # the newest, of the present segment
        self.steered: r.Steered | None = None  # the same
        self._apply: dict[type[r.Record], Callable[..., None]] = {
            r.SegmentStarted: self._segment_started,
            r.BatchLoaded: self._batch_loaded,
            r.EngineSeen: self._engine_seen,
            r.EngineLost: self._engine_lost,
            r.EngineReturned: self._engine_returned,
            r.RolloutStarted: self._rollout_started,
            r.ReplyReceived: self._reply_received,
            r.CallFailed: self._call_failed,
            r.ToolStarted: self._tool_started,
            r.ToolFinished: self._tool_finished,
            r.RolloutPaused: self._rollout_paused,
            r.RolloutYielded: self._rollout_yielded,
            r.RolloutReturned: self._rollout_returned,
            r.RolloutFinished: self._rollout_finished,
            r.Sampled: self._sampled,
            r.Decided: self._decided,
            r.RunnerMeasured: self._runner_measured,
            r.Steered: self._steered,
            r.DrainStarted: self._drain_started,
            r.SegmentFinished: self._segment_finished,
        }

    # What people ask -------------------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds of work so far, over all segments, up to the newest record."""
        return self.elapsed_before + self.time

    @property
    def paused(self) -> int:
        """Agents that gave their slot back and wait to return."""
        return sum(live.paused for live in self.live.values())

    @property
    def active(self) -> int:
        """Agents holding a slot."""
        return len(self.live) - self.paused - sum(live.yielded for live in self.live.values())

    @property
    def unstarted(self) -> int:
        """Rollouts never started so far."""
        return max(0, self.rollouts - len(self.ended) - len(self.live))

    @property
    def failed(self) -> int:
        """Rollouts whose status is `error`."""
        return self.statuses["error"]

    def apply(self, record: r.Record) -> None:
        """Take one record in."""
        self.time = max(self.time, record.t)
        self._apply[type(record)](record)

    # One method per kind ---------------------------------------------------------------------------------------------

    def _segment_started(self, x: r.SegmentStarted) -> None:
        self.elapsed_before += self.time
        self.time = x.t
        self.segments += 1
        self.segment = x
        self.epoch = x.epoch
        if self.first_epoch is None:
            self.first_epoch = x.epoch
        self.draining = self.finished = self.runner = self.steered = None
        self.segment_totals = Totals()
        self.ended_before = len(self.ended)
        for live in self.live.values():  # whoever was live when the last segment broke off now waits to be taken up
            live.paused, live.yielded, live.since = True, False, x.t
            live.tools.clear()
        for engine in self.engines.values():  # each segment has its own zero of time
            engine.lost = engine.sample = engine.decision = engine.moved = None
            engine.samples.clear()
            engine.decisions.clear()

    def _batch_loaded(self, x: r.BatchLoaded) -> None:
        self.tasks, self.rollouts = x.tasks, x.rollouts

    def _engine(self, name: str) -> EngineView:
        return self.engines.get(name) or self.engines.setdefault(name, EngineView(name=name))

    def _engine_seen(self, x: r.EngineSeen) -> None:
        engine = self._engine(x.engine)
        if engine.seen is not None and engine.seen.policy != x.policy:  # resumed under another one: where its own limits went
            engine.window_low = engine.window_high = engine.window_first = None
            engine.tokens_low = engine.tokens_high = engine.tokens_first = None
        engine.seen = x

    def _engine_lost(self, x: r.EngineLost) -> None:
        self._engine(x.engine).lost = x

    def _engine_returned(self, x: r.EngineReturned) -> None:
        self._engine(x.engine).lost = None

    def _rollout_started(self, x: r.RolloutStarted) -> None:
        known = self.live.get(x.rollout)
        if known is not None and x.resumed:
            known.engine, known.paused, known.since = x.engine, False, x.t
            return
        status = self.ended.pop(x.rollout, None)  # tried again
        if status is not None:
            self.statuses[status] -= 1
        error_class = self._failed_as.pop(x.rollout, None)
        if error_class is not None:
            self.error_classes[error_class] -= 1
        self.live[x.rollout] = LiveRollout(rollout=x.rollout, engine=x.engine, attempt=x.attempt, since=x.t, started=x.t)

    def _reply_received(self, x: r.ReplyReceived) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.step = x.step
            live.context_tokens = x.prompt_tokens + x.completion_tokens
            live.since = x.t
        for totals in (self.totals, self.segment_totals):
            totals.steps += 1
            totals.prompt_tokens += x.prompt_tokens
            totals.completion_tokens += x.completion_tokens
            totals.model_s += x.model_s
            totals.wait_s += x.wait_s
            totals.retry_s += x.retry_s
            totals.retries += x.retries
            if x.cached_tokens is not None:
                totals.cached_tokens += x.cached_tokens
                totals.cache_reported_tokens += x.prompt_tokens
            if x.missed_tokens is not None:
                totals.history_tokens += x.history_tokens
                totals.missed_tokens += x.missed_tokens

    def _call_failed(self, x: r.CallFailed) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.since = x.t

    def _tool_started(self, x: r.ToolStarted) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.tools[x.n] = x.tool
            live.since = x.t

    def _tool_finished(self, x: r.ToolFinished) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.tools.pop(x.n, None)
            live.since = x.t
        for totals in (self.totals, self.segment_totals):
            totals.tool_calls += 1
            totals.tool_errors += not x.ok
            totals.tool_s += x.seconds

    def _rollout_paused(self, x: r.RolloutPaused) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.paused, live.yielded, live.since = True, False, x.t

    def _rollout_yielded(self, x: r.RolloutYielded) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.yielded = True

    def _rollout_returned(self, x: r.RolloutReturned) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.paused, live.yielded, live.since = False, False, x.t
        for totals in (self.totals, self.segment_totals):
            totals.paused_s += x.paused_s

    def _rollout_finished(self, x: r.RolloutFinished) -> None:
        self.live.pop(x.rollout, None)
        self.ended[x.rollout] = x.status
        self.statuses[x.status] += 1
        if x.error is not None:
            self.error_classes[x.error.error_class] += 1
            self._failed_as[x.rollout] = x.error.error_class
            self.newest_error = x

    def _sampled(self, x: r.Sampled) -> None:
        engine = self._engine(x.engine)
        engine.sample = x
        engine.samples.append(x)
        self.lag_s = x.lag_s

    def _decided(self, x: r.Decided) -> None:
        engine = self._engine(x.engine)
        if engine.moved is None or _differ(engine.moved, x):
            engine.moved = x
        engine.decision = x
        engine.decisions.append(x)
        if x.agents is not None:
            low, high = engine.window_low, engine.window_high
            engine.window_low = x.agents if low is None else min(low, x.agents)
            engine.window_high = x.agents if high is None else max(high, x.agents)
            if engine.window_first is None:
                engine.window_first = x.agents
        if x.tokens is not None:
            low, high = engine.tokens_low, engine.tokens_high
            engine.tokens_low = x.tokens if low is None else min(low, x.tokens)
            engine.tokens_high = x.tokens if high is None else max(high, x.tokens)
            if engine.tokens_first is None:
                engine.tokens_first = x.tokens

    def _runner_measured(self, x: r.RunnerMeasured) -> None:
        self.runner = x

    def _steered(self, x: r.Steered) -> None:
        self.steered = x

    def _drain_started(self, x: r.DrainStarted) -> None:
        self.draining = x.cause

    def _segment_finished(self, x: r.SegmentFinished) -> None:
        self.finished = x.cause


def _differ(moved: r.Decided, now: r.Decided) -> bool:
    """Whether the limit is another; one on tokens drifts all the time, so that it has to be by more than a hundredth."""
    if (moved.agents, moved.requests) != (now.agents, now.requests):
        return True
    if moved.tokens is None or now.tokens is None:
        return moved.tokens is not now.tokens
    return abs(now.tokens - moved.tokens) > 0.01 * moved.tokens


def fold(stream: Iterable[r.Record]) -> RunState:
    """The state after all of these records."""
    state = RunState()
    for record in stream:
        state.apply(record)
    return state
