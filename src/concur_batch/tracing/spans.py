"""A sink that makes spans: a trace per rollout, in it a span per model call and per tool call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from concur_batch import records as r
from concur_batch.state import RunState
from concur_batch.tracing import attributes
from concur_batch.tracing.identity import SpanIds, rollout_context


@dataclass(slots=True, kw_only=True)
class _Open:
    """A rollout at work."""

    span: Span
    context: Context  # in which its calls stand
    model: str
    tools: dict[int, r.ToolStarted] = field(default_factory=dict)  # that run now


class Spans:
    """Call it with every record, after `state` has taken it in. `earlier`: of `last_segments`, where the run is resumed.

    Times are the records': a span is made when its end is known, and begins where the record says it began.
    """

    def __init__(self, tracer: Tracer, ids: SpanIds, state: RunState, earlier: Mapping[str, int]) -> None:
        self._tracer = tracer
        self._ids = ids
        self._state = state
        self._earlier = earlier
        self._open: dict[str, _Open] = {}
        self._newest = 0.0
        self._apply: dict[type[r.Record], Callable[[Any], None]] = {
            r.RolloutStarted: self._rollout_started,
            r.ReplyReceived: self._reply_received,
            r.CallFailed: self._call_failed,
            r.ToolStarted: self._tool_started,
            r.ToolFinished: self._tool_finished,
            r.RolloutPaused: self._rollout_paused,
            r.RolloutYielded: self._rollout_yielded,
            r.RolloutReturned: self._rollout_returned,
            r.RolloutFinished: self._rollout_finished,
        }

    def __call__(self, record: r.Record) -> None:
        """Take one record in."""
        self._newest = record.t
        apply = self._apply.get(type(record))
        if apply is not None:
            apply(record)

    def close(self) -> None:
        """The process ends its work: rollouts that have not ended are told as `unfinished`."""
        for rollout in list(self._open):
            open_ = self._open.pop(rollout)
            self._end_tools(open_)
            open_.span.set_attribute("concur.status", "unfinished")
            open_.span.end(self._ns(self._newest))

    # One method per kind ---------------------------------------------------------------------------------------------

    def _rollout_started(self, x: r.RolloutStarted) -> None:
        state = self._state
        run = state.first_epoch or state.epoch
        before = self._earlier.get(x.rollout) if x.resumed else None
        links = [] if before is None else [Link(rollout_context(run, x.rollout, x.attempt, before))]
        self._ids.root = rollout_context(run, x.rollout, x.attempt, state.segments)
        span = self._tracer.start_span(
            f"invoke_agent {x.agent}",
            context=Context(),
            kind=SpanKind.INTERNAL,
            attributes=attributes.of_rollout(x) | attributes.of_engine(x.engine, self._kind(x.engine)),
            links=links,
            start_time=self._ns(x.t),
        )
        self._ids.root = None  # one that is not sampled may not have asked
        self._open[x.rollout] = _Open(span=span, context=trace.set_span_in_context(span, Context()), model=x.model)

    def _reply_received(self, x: r.ReplyReceived) -> None:
        self._call(x, x.t - x.model_s, attributes.of_reply(x))

    def _call_failed(self, x: r.CallFailed) -> None:
        self._call(x, x.t - x.retry_s, attributes.of_retries(x), error=x.error)

    def _tool_started(self, x: r.ToolStarted) -> None:
        if x.rollout in self._open:
            self._open[x.rollout].tools[x.n] = x

    def _tool_finished(self, x: r.ToolFinished) -> None:
        open_ = self._open.get(x.rollout)
        if open_ is not None:
            open_.tools.pop(x.n, None)
            self._tool(open_, x, x.t - x.seconds, x.t, None if x.ok else x.error_class or "tool")

    def _rollout_paused(self, x: r.RolloutPaused) -> None:
        self._event(x.rollout, "concur.paused", x.t, {"concur.reason": x.reason})

    def _rollout_yielded(self, x: r.RolloutYielded) -> None:
        self._event(x.rollout, "concur.yielded", x.t, {})

    def _rollout_returned(self, x: r.RolloutReturned) -> None:
        self._event(x.rollout, "concur.returned", x.t, {"concur.paused_seconds": x.paused_s})

    def _rollout_finished(self, x: r.RolloutFinished) -> None:
        open_ = self._open.pop(x.rollout, None)
        if open_ is None:
            return
        self._end_tools(open_)
        open_.span.set_attributes(attributes.of_end(x))
        if x.error is not None:
            _fail(open_.span, x.error.error_class)
        open_.span.end(self._ns(x.t))

    # Spans -----------------------------------------------------------------------------------------------------------

    def _call(
        self, x: r.ReplyReceived | r.CallFailed, began: float, more: attributes.Attributes, error: str | None = None
    ) -> None:
        open_ = self._open.get(x.rollout)
        if open_ is None:
            return
        kind, model = self._kind(x.engine), x.model or open_.model
        span = self._tracer.start_span(
            f"chat {model}".rstrip(),
            context=open_.context,
            kind=SpanKind.INTERNAL if kind == "sim" else SpanKind.CLIENT,
            attributes=attributes.of_call(x.rollout, x.step, model) | attributes.of_engine(x.engine, kind) | more,
            start_time=self._ns(began),
        )
        if error is not None:
            _fail(span, error)
        span.end(self._ns(x.t))

    def _tool(self, open_: _Open, x: r.ToolStarted | r.ToolFinished, began: float, ended: float, error: str | None) -> None:
        span = self._tracer.start_span(
            f"execute_tool {x.tool}",
            context=open_.context,
            kind=SpanKind.INTERNAL,
            attributes=attributes.of_tool(x),
            start_time=self._ns(began),
        )
        if error is not None:
            _fail(span, error)
        span.end(self._ns(ended))

    def _end_tools(self, open_: _Open) -> None:
        """Calls that were cancelled have no record of their end."""
        for call in open_.tools.values():
            self._tool(open_, call, call.t, self._newest, "interrupted")

    def _event(self, rollout: str, name: str, t: float, given: attributes.Attributes) -> None:
        if rollout in self._open:
            self._open[rollout].span.add_event(name, given, self._ns(t))

    def _kind(self, engine: str) -> str:
        view = self._state.engines.get(engine)
        return view.seen.engine_kind if view is not None and view.seen is not None else ""

    def _ns(self, t: float) -> int:
        return round((self._state.epoch + t) * 1e9)


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)
