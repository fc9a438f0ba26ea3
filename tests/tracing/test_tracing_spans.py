from opentelemetry.trace import SpanKind, StatusCode
from traced import EPOCH, ended, replied, seen, segment, spans_of, started, tool_finished, tool_started

from concur_batch import records as r


def at(span):
    """Start and end, in seconds of the segment."""
    return round(span.start_time / 1e9 - EPOCH, 3), round(span.end_time / 1e9 - EPOCH, 3)


def named(spans, name):
    (found,) = [span for span in spans if span.name == name]
    return found


def test_a_rollout_with_a_call_and_a_tool():
    reply = replied(
        cached_tokens=80, history_tokens=90, missed_tokens=10, retries=1, retry_s=0.25, wait_s=0.5, reasoning_tokens=4
    )
    story = [segment(), seen(), started(), reply, tool_started(), tool_finished(),
             ended(n_steps=1, prompt_tokens=100, completion_tokens=10, cached_tokens=80, finish_reason="stop")]  # fmt: skip
    spans = spans_of(story)
    agent, call, tool = (named(spans, name) for name in ("invoke_agent react", "chat m", "execute_tool shell"))
    assert (at(agent), at(call), at(tool)) == ((1.0, 9.0), (1.5, 4.0), (4.0, 4.5))
    assert agent.parent is None
    assert {call.parent.span_id, tool.parent.span_id} == {agent.context.span_id}
    assert {span.context.trace_id for span in spans} == {agent.context.trace_id}
    assert (agent.kind, call.kind, tool.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL)
    server = {"gen_ai.provider.name": "sglang", "server.address": "10.0.0.1", "server.port": 30000,
              "concur.engine": "http://10.0.0.1:30000"}  # fmt: skip
    assert dict(agent.attributes) == server | {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "react", "gen_ai.conversation.id": "a#0",
        "gen_ai.request.model": "m", "gen_ai.request.seed": 7, "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.response.finish_reasons": ("stop",), "concur.task": "a", "concur.rollout": 0, "concur.attempt": 1,
        "concur.resumed": False, "concur.status": "completed", "concur.steps": 1, "concur.paused_seconds": 0.0,
    }  # fmt: skip
    assert dict(call.attributes) == server | {
        "gen_ai.operation.name": "chat", "gen_ai.conversation.id": "a#0", "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.usage.reasoning.output_tokens": 4, "gen_ai.response.finish_reasons": ("stop",), "concur.step": 1,
        "concur.history_tokens": 90, "concur.missed_tokens": 10, "concur.wait_seconds": 0.5, "concur.after_pause": False,
        "concur.retries": 1, "concur.retry_seconds": 0.25,
    }  # fmt: skip
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "shell", "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_2", "gen_ai.conversation.id": "a#0", "concur.step": 1,
    }  # fmt: skip
    assert agent.resource.attributes["service.name"] == "concur"
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_errors_have_their_class_and_no_text():
    story = [
        segment(),
        seen(),
        started(),
        tool_started(),
        tool_finished(ok=False, error_class="sandbox"),
        r.CallFailed(t=5.0, rollout="a#0", engine="http://10.0.0.1:30000", step=1, n=3, hash="h", error="EngineRefused", message="secret"),
        ended(status="error", error=r.ErrorInfo(error_class="engine", message="secret")),
    ]  # fmt: skip
    spans = spans_of(story)
    errors = {span.name: span.attributes["error.type"] for span in spans}
    assert errors == {"execute_tool shell": "sandbox", "chat m": "EngineRefused", "invoke_agent react": "engine"}
    assert {span.status.status_code for span in spans} == {StatusCode.ERROR}
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_a_limit_that_was_reached_is_no_error():
    (agent,) = spans_of([segment(), started(), ended(status="max_steps")])
    assert (agent.status.status_code, agent.attributes["concur.status"]) == (StatusCode.UNSET, "max_steps")


def test_pauses_are_events():
    where = {"rollout": "a#0", "engine": "e", "step": 0}
    story = [segment(), started(), r.RolloutPaused(t=2.0, reason="limit", **where), r.RolloutReturned(t=5.0, paused_s=3.0, **where),
             r.RolloutYielded(t=6.0, **where), ended()]  # fmt: skip
    (agent,) = spans_of(story)
    events = [(event.name, round(event.timestamp / 1e9 - EPOCH, 3), dict(event.attributes)) for event in agent.events]
    assert events == [
        ("concur.paused", 2.0, {"concur.reason": "limit"}),
        ("concur.returned", 5.0, {"concur.paused_seconds": 3.0}),
        ("concur.yielded", 6.0, {}),
    ]


def test_rollouts_have_traces_of_their_own_and_do_not_mix():
    story = [segment(), started("a#0"), started("a#1"), replied("a#0"), replied("a#1"), ended("a#1"), ended("a#0")]
    spans = spans_of(story)
    agents = {span.attributes["gen_ai.conversation.id"]: span for span in spans if span.name.startswith("invoke_agent")}
    assert agents["a#0"].context.trace_id != agents["a#1"].context.trace_id
    for call in (span for span in spans if span.name == "chat m"):
        assert call.parent.span_id == agents[call.attributes["gen_ai.conversation.id"]].context.span_id


def test_a_process_that_ends_before_its_rollouts_tells_so():
    spans = spans_of([segment(), started(), replied(), tool_started(), r.SegmentFinished(t=6.0, cause="stopped")])
    tool, agent = named(spans, "execute_tool shell"), named(spans, "invoke_agent react")
    assert tool.attributes["error.type"] == "interrupted"
    assert agent.attributes["concur.status"] == "unfinished"
    assert at(agent) == (1.0, 6.0)


def test_a_resumed_rollout_is_linked_to_where_it_was_last():
    first = [segment(), started("a#0"), started("b#0"), ended("b#0")]
    second = [segment(EPOCH + 100)]  # in which it was not reached
    third = [
        segment(EPOCH + 200),
        started("a#0", resumed=True, messages=[]),
        started("c#0", t=2.0),
        ended("a#0", t=3.0),
        ended("c#0"),
    ]
    was = next(span for span in spans_of(first) if span.attributes["gen_ai.conversation.id"] == "a#0")
    by_id = {span.attributes["gen_ai.conversation.id"]: span for span in spans_of(third, before=first + second)}
    (link,) = by_id["a#0"].links
    assert (link.context.trace_id, link.context.span_id) == (was.context.trace_id, was.context.span_id)
    assert by_id["a#0"].context.trace_id != was.context.trace_id
    assert at(by_id["a#0"]) == (201.0, 203.0)
    assert by_id["c#0"].links == ()


def test_another_attempt_is_another_trace():
    failed = [segment(), started(), ended(status="error", error=r.ErrorInfo(error_class="tool", message=""))]
    (first,) = spans_of(failed)
    (second,) = spans_of([segment(EPOCH + 50), started(attempt=2), ended()], before=failed)
    assert first.context.trace_id != second.context.trace_id
    assert second.links == ()


def test_the_embedded_engine_has_no_address():
    spans = spans_of([segment(), seen("sim", "sim"), started(engine="sim"), replied(engine="sim"), ended()])
    call = named(spans, "chat m")
    assert call.kind == SpanKind.INTERNAL
    assert "server.address" not in call.attributes


def test_a_call_to_another_model_than_the_rollouts_has_that():
    failed = r.CallFailed(
        t=6.0, rollout="a#0", engine="e", step=3, n=3, hash="h", error="EngineRefused", message="", model="none"
    )
    spans = spans_of([segment(), seen(), started(), replied(), replied(t=5.0, step=2, n=2, model="user"), failed, ended()])
    calls = {span.name: span.attributes["gen_ai.request.model"] for span in spans if span.name.startswith("chat")}
    assert calls == {"chat m": "m", "chat user": "user", "chat none": "none"}
