"""The run as a whole: takes records in, one method per kind. On the hot path of every run: each method is as cheap as it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from concur_batch import records as r
from concur_batch.errors import unnamed
from concur_batch.state import retrying
from concur_batch.state.cut_off import add_cut_off, add_waits
from concur_batch.state.engine import EngineView
from concur_batch.state.faults import LENGTH, Faults
from concur_batch.state.live import LiveRollout, RunningTool
from concur_batch.state.timeline import Agents, Timeline
from concur_batch.state.totals import ToolTotals, Totals

MOST_TOOLS = 64  # a model may call tools that do not exist, by any name
OTHER_TOOLS = "(others)"

_new = tuple.__new__  # of a tuple with names half the time that calling its class takes


class RunState:
    """`apply` records in order; read the attributes at any time."""

    def __init__(self) -> None:
        self.tasks = 0
        self.rollouts = 0
        self.max_agents = 0  # 0: not told
        self.segments = 0
        self.epoch = 0.0  # wall clock of the present segment's t = 0
        self.first_epoch: float | None = None
        self.time = 0.0  # t of the newest record in the present segment
        self.elapsed_before = 0.0  # seconds of earlier segments
        self.ended: dict[str, str] = {}  # rollout -> status
        self.statuses: Counter[str] = Counter()
        self.error_classes: Counter[str] = Counter()
        self._failed_as: dict[str, str] = {}  # rollout -> error class, so that another attempt takes it back
        self.failed_attempts: dict[str, int] = {}  # of each that failed: which attempt that was
        self.live: dict[str, LiveRollout] = {}
        self._paused = 0  # of the live ones
        self._yielded = 0
        self.engines: dict[str, EngineView] = {}  # of the present segment
        self.all_engines: dict[str, EngineView] = {}  # those of earlier segments too, as they were then
        self.tools: dict[str, ToolTotals] = {}
        self.faults = Faults()
        self.totals = Totals()
        self._totals_before = Totals()  # when the present segment opened
        self._unbroken = Totals()  # before `break_off`
        self.newest_error: r.RolloutFinished | None = None
        self.draining: str | None = None
        self.segment: r.SegmentStarted | None = None
        self.finished: str | None = None  # cause, once the present segment has its last line
        self.lag_s = 0.0  # of the newest sample
        self.runner: r.RunnerMeasured | None = None  # the newest, of the present segment
        self.steered: r.Steered | None = None  # the same
        self.timeline = Timeline()
        self._due = self.timeline.due_s  # of its next point, on the present segment's clock
        self._apply: dict[type[r.Record], Callable[..., None]] = {
            r.SegmentStarted: self._segment_started,
            r.BatchLoaded: self._batch_loaded,
            r.EngineSeen: self._engine_seen,
            r.EngineLost: self._engine_lost,
            r.EngineReturned: self._engine_returned,
            r.RolloutStarted: self._rollout_started,
            r.ReplyReceived: self._reply_received,
            r.CallRetried: self._call_retried,
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
    def by_hand(self) -> r.Steered:
        """What a person at the keys has in force: nothing once the run has ended."""
        return r.Steered(t=self.time) if self.steered is None or self.finished is not None else self.steered

    @property
    def has_begun(self) -> bool:
        """Whether a process has ever worked on it: told also where the journal's first lines are missing."""
        return bool(self.segments or self.rollouts or self.live or self.ended)

    @property
    def elapsed(self) -> float:
        """Seconds of work so far, over all segments, up to the newest record."""
        return self.elapsed_before + self.time

    @property
    def paused(self) -> int:
        """Agents that gave their slot back and wait to return."""
        return self._paused

    @property
    def active(self) -> int:
        """Agents holding a slot. Without a process at work nobody has one: whoever had begun waits to go on."""
        return 0 if self.finished is not None else len(self.live) - self._paused - self._yielded

    @property
    def unstarted(self) -> int:
        """Rollouts never started so far."""
        return max(0, self.unfinished - len(self.live))

    @property
    def unfinished(self) -> int:
        """Rollouts that have not ended, whether they have begun or not."""
        return max(0, self.rollouts - len(self.ended))

    @property
    def failed(self) -> int:
        """Rollouts whose status is `error`."""
        return self.statuses["error"]

    def retrying(self, engine: str) -> retrying.Retrying | None:
        """The model calls that are being tried again there; None: there is none."""
        if self.finished is not None:
            return None
        tries = [one for live in self.live.values() if live.retrying and live.engine == engine for one in live.tries]
        if not tries:
            return None
        return retrying.Retrying(len(tries), unnamed(max(tries, key=lambda one: one.t).message, engine))

    def failed_with(self, rollout: str) -> str | None:
        """The error class of one that has failed, and not been tried again since."""
        return self._failed_as.get(rollout)

    @property
    def segment_totals(self) -> Totals:
        """Sums since the present segment opened: what speed is measured on."""
        return self.totals.since(self._totals_before)

    def apply(self, record: r.Record) -> None:
        """Take one record in."""
        if record.t > self.time:
            self.time = record.t
            if record.t >= self._due:
                self._mark(record.t)
        self._apply[type(record)](record)

    def break_off(self, cause: str) -> None:
        """There is nobody any more who writes. `go_on`, should there be records after all."""
        self._unbroken = self.totals.copy()
        add_waits(self.totals, self.live.values(), self.engines, self.time)
        self.finished = cause

    def go_on(self) -> None:
        """As before `break_off`."""
        self.totals, self.finished = self._unbroken, None

    def _mark(self, t: float) -> None:
        """The timeline's next points: until this record all was as it is."""
        active = self.active
        self.timeline.reach(self.elapsed_before + t, Agents(active, len(self.live) - active, self.unstarted))
        self._due = self.timeline.due_s - self.elapsed_before

    # One method per kind ---------------------------------------------------------------------------------------------

    def _segment_started(self, x: r.SegmentStarted) -> None:
        if self.finished is None:
            add_waits(self.totals, self.live.values(), self.engines, self.time)
        self.elapsed_before += self.time
        self._due = self.timeline.due_s - self.elapsed_before
        self.time = x.t
        self.segments += 1
        self.segment = x
        self.epoch = x.epoch
        if self.first_epoch is None:
            self.first_epoch = x.epoch
        self.draining = self.finished = self.runner = self.steered = None
        self._totals_before = self.totals.copy()
        for live in self.live.values():  # whoever was live when the last segment broke off now waits to be taken up
            self._place(live, paused=True, yielded=False)
            live.since = x.t
            live.tools.clear()
            live.retrying.clear()
            live.newest, live.taken_up = 0, False
        self.engines.clear()

    def _batch_loaded(self, x: r.BatchLoaded) -> None:
        self.tasks, self.rollouts, self.max_agents = x.tasks, x.rollouts, x.max_agents

    def _engine(self, name: str) -> EngineView:
        return self.engines.get(name) or self._enter(name)

    def _enter(self, name: str) -> EngineView:
        """Its first record in this segment. One that is named no more is not among those that the run has now."""
        engine = self.engines[name] = self.all_engines.setdefault(name, EngineView(name=name))
        engine.took_segment()
        return engine

    def _engine_seen(self, x: r.EngineSeen) -> None:
        self._engine(x.engine).took_seen(x)

    def _engine_lost(self, x: r.EngineLost) -> None:
        self._engine(x.engine).took_lost(x)

    def _engine_returned(self, x: r.EngineReturned) -> None:
        self._engine(x.engine).lost = None

    def _place(self, live: LiveRollout, *, paused: bool, yielded: bool) -> None:
        """Whether it has a slot; kept count of, since it is asked for often."""
        self._paused += paused - live.paused
        self._yielded += yielded - live.yielded
        live.paused, live.yielded = paused, yielded

    def _rollout_started(self, x: r.RolloutStarted) -> None:
        known = self.live.get(x.rollout)
        if known is not None:
            self._place(known, paused=False, yielded=False)
            if x.resumed:
                known.engine, known.since, known.taken_up = x.engine, x.t, True
                return
        if not x.resumed:
            self.totals.admitted += 1
            self.totals.admission_s += x.t
        status = self.ended.pop(x.rollout, None)  # tried again
        if status is not None:
            self.statuses[status] -= 1
        error_class = self._failed_as.pop(x.rollout, None)
        if error_class is not None:
            self.error_classes[error_class] -= 1
            self.failed_attempts.pop(x.rollout, None)
        self.live[x.rollout] = LiveRollout(rollout=x.rollout, engine=x.engine, attempt=x.attempt, since=x.t, started=x.t)

    def _reply_received(self, x: r.ReplyReceived) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.step = x.step
            live.context_tokens = x.prompt_tokens + x.completion_tokens
            if not live.paused:
                live.since = x.t
            live.newest = max(live.newest, x.n)
        totals = self.totals
        totals.steps += 1
        totals.prompt_tokens += x.prompt_tokens
        totals.completion_tokens += x.completion_tokens
        totals.model_s += x.model_s
        totals.wait_s += x.wait_s
        if x.retries or x.retry_s:
            self._retries_ended(live, x)
        if x.cached_tokens is not None:
            totals.cached_tokens += x.cached_tokens
            totals.cache_reported_tokens += x.prompt_tokens
        if x.missed_tokens is not None:
            totals.history_tokens += x.history_tokens
            totals.missed_tokens += x.missed_tokens

    def _retries_ended(self, live: LiveRollout | None, x: r.ReplyReceived | r.CallFailed) -> None:
        more = retrying.left({} if live is None else live.retrying, x)
        self.totals.retries += more.retries
        self.totals.retry_s += more.seconds

    def _call_retried(self, x: r.CallRetried) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            more = retrying.told(live.retrying, x)
            self.totals.retries += more.retries
            self.totals.retry_s += more.seconds
            if not live.paused:
                live.since = x.t
        self.faults.add("attempt", x.error, x.message, x.rollout, self.elapsed_before + x.t)

    def _call_failed(self, x: r.CallFailed) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            if not live.paused:
                live.since = x.t
            live.newest = max(live.newest, x.n)
        self.totals.wait_s += x.wait_s
        self._retries_ended(live, x)
        self.faults.add("call", x.error, x.message, x.rollout, self.elapsed_before + x.t)

    def _tool_started(self, x: r.ToolStarted) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.tools[x.n] = _new(RunningTool, (x.tool, x.t))
            if not live.paused:
                live.since = x.t
            live.newest = max(live.newest, x.n)

    def _tool_finished(self, x: r.ToolFinished) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            live.tools.pop(x.n, None)
            if not live.paused:
                live.since = x.t
        seconds, totals = x.seconds, self.totals
        totals.tool_calls += 1
        totals.tool_s += seconds
        totals.wait_s += x.wait_s
        tool = self.tools.get(x.tool) or self._tool(x.tool)
        tool.calls += 1
        tool.seconds += seconds
        tool.longest_s = max(tool.longest_s, seconds)
        if not x.ok:
            totals.tool_errors += 1
            tool.errors += 1
            self.faults.add(
                "tool", x.error_class or "tool", f"{x.tool}: {x.output[:LENGTH]}", x.rollout, self.elapsed_before + x.t
            )

    def _tool(self, name: str) -> ToolTotals:
        if len(self.tools) >= MOST_TOOLS:
            name = OTHER_TOOLS
        return self.tools.setdefault(name, ToolTotals(name=name))

    def _rollout_paused(self, x: r.RolloutPaused) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            self._place(live, paused=True, yielded=False)
            live.since = x.t

    def _rollout_yielded(self, x: r.RolloutYielded) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            self._place(live, paused=live.paused, yielded=True)

    def _rollout_returned(self, x: r.RolloutReturned) -> None:
        live = self.live.get(x.rollout)
        if live is not None:
            self._place(live, paused=False, yielded=not x.slot)
            live.since = x.t
        self.totals.paused_s += x.paused_s

    def _rollout_finished(self, x: r.RolloutFinished) -> None:
        live = self.live.pop(x.rollout, None)
        if live is not None:
            self._place(live, paused=False, yielded=False)
        if x.cut_off is not None:
            add_cut_off(self.totals, x.cut_off, live)
        self.ended[x.rollout] = x.status
        self.statuses[x.status] += 1
        if x.error is not None:
            self.error_classes[x.error.error_class] += 1
            self._failed_as[x.rollout] = x.error.error_class
            self.failed_attempts[x.rollout] = x.attempt
            self.newest_error = x
            self.faults.add("rollout", x.error.error_class, x.error.message, x.rollout, self.elapsed_before + x.t)

    def _sampled(self, x: r.Sampled) -> None:
        self._engine(x.engine).took_sample(x)
        self.lag_s = x.lag_s

    def _decided(self, x: r.Decided) -> None:
        self._engine(x.engine).took_decision(x)

    def _runner_measured(self, x: r.RunnerMeasured) -> None:
        self.runner = x

    def _steered(self, x: r.Steered) -> None:
        self.steered = x

    def _drain_started(self, x: r.DrainStarted) -> None:
        self.draining = x.cause

    def _segment_finished(self, x: r.SegmentFinished) -> None:
        add_waits(self.totals, self.live.values(), self.engines, x.t)
        self.finished = x.cause


def fold(stream: Iterable[r.Record]) -> RunState:
    """The state after all of these records."""
    state = RunState()
    for record in stream:
        state.apply(record)
    return state
