"""Counters and histograms over the records of this process: what the state does not keep. A sink of the recorder.

Names are without prefix and without `_total`; a series begins with its first record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from concur_batch import records as r
from concur_batch.histogram import Histogram
from concur_batch.state import retrying

Values = tuple[str, ...]
"""Of the labels, in their order."""

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "steps": ("Model calls whose reply came.", ("engine",)),
    "prompt_tokens": ("Prompt tokens of these calls, cached ones included.", ("engine",)),
    "cached_prompt_tokens": (
        "Of the prompt tokens, those found in the engine's cache; none where it does not tell.",
        ("engine",),
    ),
    "history_tokens": ("Of the prompt tokens, those the engine had seen before, where it tells of its cache.", ("engine",)),
    "missed_tokens": ("Of the history tokens, those that had to be prefilled again.", ("engine",)),
    "generated_tokens": ("Generated tokens of these calls.", ("engine",)),
    "model_call_retries": ("Attempts of model calls that failed and were made again.", ("engine",)),
    "model_call_retry_seconds": ("Time lost in these attempts and between them.", ("engine",)),
    "model_call_wait_seconds": (
        "Time that model calls waited before they were sent: others to begin with, request limit, engine away.",
        ("engine",),
    ),
    "model_call_failures": ("Model calls that were given up, by the error.", ("engine", "error")),
    "engine_losses": ("Times that an engine stopped answering, or was found to serve another model.", ("engine",)),
    "tool_calls": ("Tool calls that ended, by tool and outcome: ok, or an error class.", ("tool", "outcome")),
    "pauses": ("Agents that gave their slot back at a boundary, by reason.", ("engine", "reason")),
    "yields": ("Agents that gave their slot up in a long tool call.", ("engine",)),
    "paused_seconds": ("Time that agents spent without a slot, counted when they hold one again.", ("engine",)),
    "touches": ("Requests for one token that keep the KV of agents in tool calls in the cache.", ("engine",)),
    "decisions": ("Decisions of the controller, by reason.", ("engine", "reason")),
    "rollouts_ended": ("Rollouts that ended, by status.", ("status",)),
    "rollout_errors": ("Rollouts that ended in status error, by error class.", ("error_class",)),
}
_CALL_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
_TOOL_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 150.0, 600.0)
_ROLLOUT_S = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0, 36000.0)
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "model_call_seconds": ("From sending a model call to its whole reply, last attempt.", ("engine",), _CALL_S),
    "tool_call_seconds": ("Of tool calls.", ("tool",), _TOOL_S),
    "rollout_seconds": ("From a rollout's first slot to its end, over all processes.", ("status",), _ROLLOUT_S),
}
MOST_TOOLS = 100  # models make names up: from here on they are counted as `other`
_LONGEST_NAME = 64


class Tally:
    """Call it with every record, on one thread; read it on any."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[Values, float]] = {name: {} for name in COUNTERS}
        self.histograms: dict[str, dict[Values, Histogram]] = {name: {} for name in HISTOGRAMS}
        self._tools: set[str] = set()
        self._retrying: dict[str, dict[int, retrying.Tried]] = {}  # by rollout, of its calls
        self._apply: dict[type[r.Record], Callable[[Any], None]] = {
            r.ReplyReceived: self._reply_received,
            r.CallRetried: self._call_retried,
            r.CallFailed: self._call_failed,
            r.ToolFinished: self._tool_finished,
            r.RolloutPaused: self._rollout_paused,
            r.RolloutYielded: self._rollout_yielded,
            r.RolloutReturned: self._rollout_returned,
            r.RolloutFinished: self._rollout_finished,
            r.Decided: self._decided,
            r.Sampled: self._sampled,
            r.EngineLost: self._engine_lost,
        }

    def __call__(self, record: r.Record) -> None:
        """Take one record in."""
        apply = self._apply.get(type(record))
        if apply is not None:
            apply(record)

    def _reply_received(self, x: r.ReplyReceived) -> None:
        engine = (x.engine,)
        self._count("steps", engine)
        self._count("prompt_tokens", engine, x.prompt_tokens)
        self._count("generated_tokens", engine, x.completion_tokens)
        if x.cached_tokens is not None:
            self._count("cached_prompt_tokens", engine, x.cached_tokens)
        if x.missed_tokens is not None:
            self._count("history_tokens", engine, x.history_tokens)
            self._count("missed_tokens", engine, x.missed_tokens)
        self._retries_ended(x)
        self._count("model_call_wait_seconds", engine, x.wait_s)
        self._observe("model_call_seconds", engine, x.model_s)

    def _call_failed(self, x: r.CallFailed) -> None:
        self._count("model_call_failures", (x.engine, x.error))
        self._retries_ended(x)
        self._count("model_call_wait_seconds", (x.engine,), x.wait_s)

    def _call_retried(self, x: r.CallRetried) -> None:
        self._retried(x.engine, retrying.told(self._retrying.setdefault(x.rollout, {}), x))

    def _retries_ended(self, x: r.ReplyReceived | r.CallFailed) -> None:
        self._retried(x.engine, retrying.left(self._retrying.get(x.rollout, {}), x))

    def _retried(self, engine: str, more: retrying.Tried) -> None:
        self._count("model_call_retries", (engine,), more.retries)
        self._count("model_call_retry_seconds", (engine,), more.seconds)

    def _tool_finished(self, x: r.ToolFinished) -> None:
        tool = self._tool(x.tool)
        self._count("tool_calls", (tool, "ok" if x.ok else x.error_class or "tool"))
        self._observe("tool_call_seconds", (tool,), x.seconds)

    def _rollout_paused(self, x: r.RolloutPaused) -> None:
        self._count("pauses", (x.engine, x.reason))

    def _rollout_yielded(self, x: r.RolloutYielded) -> None:
        self._count("yields", (x.engine,))

    def _rollout_returned(self, x: r.RolloutReturned) -> None:
        self._count("paused_seconds", (x.engine,), x.paused_s)

    def _rollout_finished(self, x: r.RolloutFinished) -> None:
        self._retrying.pop(x.rollout, None)
        self._count("rollouts_ended", (x.status,))
        if x.error is not None:
            self._count("rollout_errors", (x.error.error_class,))
        self._observe("rollout_seconds", (x.status,), x.wall_s)

    def _decided(self, x: r.Decided) -> None:
        self._count("decisions", (x.engine, x.reason))

    def _sampled(self, x: r.Sampled) -> None:
        if x.touches:
            self._count("touches", (x.engine,), x.touches)

    def _engine_lost(self, x: r.EngineLost) -> None:
        self._count("engine_losses", (x.engine,))

    def _tool(self, name: str) -> str:
        if name not in self._tools:
            if len(self._tools) >= MOST_TOOLS or len(name) > _LONGEST_NAME:
                return "other"
            self._tools.add(name)
        return name

    def _count(self, name: str, labels: Values, amount: float = 1) -> None:
        series = self.counters[name]
        series[labels] = series.get(labels, 0) + amount

    def _observe(self, name: str, labels: Values, value: float) -> None:
        series = self.histograms[name]
        histogram = series.get(labels)
        if histogram is None:
            histogram = series[labels] = Histogram(HISTOGRAMS[name][2])
        histogram.observe(value)
