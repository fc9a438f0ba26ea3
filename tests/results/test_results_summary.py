import json
from io import StringIO
from pathlib import Path

import pytest
from journals import EPOCH, end, reply, segment, start, tool
from rich.console import Console

from concur_batch import records as r
from concur_batch.results.summary import duration, limit_path, number, render, summarise, window_path
from concur_batch.state import RunState, fold

ERROR = r.ErrorInfo(error_class="engine", message="refused")
STORY = [
    segment(),
    r.BatchLoaded(t=0.0, tasks=2, rollouts=4),
    r.EngineSeen(t=0.0, engine="http://127.0.0.1:30000", engine_kind="sglang", model="m", policy="aimd"),
    start("a#0", 0),
    reply("a#0", 1, base=1, prompt_tokens=100, completion_tokens=20, cached_tokens=75, model_s=3.0, wait_s=1.0),
    tool("a#0", 2, seconds=4.0),
    reply("a#0", 3, base=1, new=[1, 2], prompt_tokens=100, completion_tokens=20, cached_tokens=75, history_tokens=80, missed_tokens=20),
    r.Decided(t=5.0, engine="http://127.0.0.1:30000", agents=8, reason="grow"),
    r.Decided(t=6.0, engine="http://127.0.0.1:30000", agents=12, reason="grow"),
    r.Decided(t=7.0, engine="http://127.0.0.1:30000", agents=6, reason="cut"),
    r.Decided(t=8.0, engine="http://127.0.0.1:30000", agents=6, reason="hold"),
    end("a#0", t=8.0),
    start("a#1", 0),
    end("a#1", "error", t=10.0, error=ERROR),
    start("b#0", 1, t=10.0),
]  # fmt: skip


def printed(summary, **more):
    console = Console(width=60, record=True, file=StringIO())
    console.print(render(summary, Path("runs/first"), **more))
    return console.export_text()


def test_the_numbers():
    summary = summarise(fold(STORY))
    assert summary["rollouts"] == {"total": 4, "ended": 2, "begun": 1, "never_started": 1}
    assert summary["statuses"] == {"completed": 1, "error": 1}
    assert summary["failures"] == {"engine": 1}
    assert summary["elapsed_s"] == 10.0
    assert summary["per_second"] == {
        "tasks": 0.1, "rollouts": 0.2, "steps": 0.2, "prompt_tokens": 20.0, "generated_tokens": 4.0,
    }  # fmt: skip
    assert summary["tokens"]["cached_share"] == 0.75
    assert (summary["tokens"]["recomputed"], summary["tokens"]["recomputed_share"]) == (20, 0.25)
    assert summary["time"]["share"] == {"model_s": 3 / 8, "tool_s": 0.5, "paused_s": 0.0, "wait_s": 1 / 8, "retry_s": 0.0}
    (engine,) = summary["engines"].values()
    assert engine["window"] == {"first": 8, "low": 6, "high": 12, "last": 6, "reason": "hold", "moved_by": "cut"}
    assert json.loads(json.dumps(summary)) == summary


def test_an_attempt_that_failed_is_no_retry():
    refused = r.CallFailed(
        t=3.0, rollout="a#0", engine="e", step=1, n=1, hash="", error="ContextLengthExceeded", message="too long", retry_s=3.0
    )
    summary = summarise(fold([segment(), start("a#0", 0), refused, end("a#0", "context_length", t=3.0)]))
    assert (summary["retries"], summary["time"]["seconds"]["retry_s"]) == (0, 3.0)
    assert "agent time  failed attempts 100.0 %" in printed(summary)


def test_counted_failures_take_the_place_of_the_states_own():
    assert summarise(fold(STORY), failures={})["failures"] == {}


def test_the_message_that_came_most_often_is_told_fit_for_a_terminal():
    def failed(rollout, name, message):
        return end(rollout, status="error", error=r.ErrorInfo(error_class=name, message=message))

    ends = [failed("a", "agent", "a: \x1b[2Joops"), failed("b", "tool", "?"), failed("c", "agent", "c: \x1b[2Joops")]
    summary = summarise(fold([segment(), *ends, failed("d", "agent", "once " * 60)]))
    assert summary["failure"] == {"rollout": "c", "class": "agent", "message": "\x1b[2Joops"}
    assert r"c: agent: \x1b[2Joops" in printed(summary)
    again = summarise(fold([segment(), failed("d", "agent", "word " * 80)]))
    assert "word " * 57 + "word… time" in " ".join(printed(again).split())
    assert summarise(fold([segment(), *ends]), failures={})["failure"] is None
    retried = [r.RolloutStarted(t=9, rollout=x, engine="e", task=x, k=0, index=0, seed=0, attempt=2) for x in ("a", "c")]
    assert summarise(fold([segment(), *ends, *retried, failed("e", "agent", "left")]))["failure"]["rollout"] == "e"


def test_an_empty_run_has_no_speeds_and_can_be_printed():
    summary = summarise(RunState())
    assert summary["per_second"]["steps"] is None
    assert summary["tokens"]["cached_share"] is None
    assert "0 of 0 ended: none" in printed(summary)


def test_a_resumed_run_counts_the_seconds_of_all_segments():
    summary = summarise(fold([*STORY, segment(EPOCH + 500), end("b#0", t=10.0)]))
    assert (summary["elapsed_s"], summary["segments"], summary["rollouts"]["ended"]) == (20.0, 2, 3)
    assert summary["finished_at"] == "2023-11-14T22:21:50+00:00"


def test_printed_it_fits_sixty_columns():
    text = printed(summarise(fold(STORY)))
    assert max(len(line) for line in text.splitlines()) <= 60
    words = " ".join(text.split())
    for part in (
        "2 of 4 ended: completed 1, error 1",
        "engine 1 (see runs/first/failures.jsonl)",
        "error a#1: engine: refused",
        "0.1 tasks/s, 0.2 steps/s",
        "40 tokens, 4/s",
        "75.0 % cached",
        "20 tokens, 25.0 % of the history",
        "model 37.5 %, tools 50.0 %",
        "8 → 6..12 → 6 (hold), aimd",
        "runs/first/results.parquet",
    ):
        assert part in words


def test_one_token_is_one():
    story = [segment(), start("a#0", 0), reply("a#0", 1, base=1, prompt_tokens=1, completion_tokens=1, cached_tokens=0, history_tokens=1, missed_tokens=1)]  # fmt: skip
    words = " ".join(printed(summarise(fold(story))).split())
    assert "recomputed 1 token, 100.0 % of the history" in words
    assert "generated 1 token, " in words


def test_the_files_that_were_asked_for_and_that_help_are_named():
    words = " ".join(printed(summarise(fold(STORY)), lines_too=True, tracebacks=Path("runs/first/logs/000001.log")).split())
    assert "results runs/first/results.jsonl (and results.parquet)" in words
    assert "(see runs/first/failures.jsonl, tracebacks in runs/first/logs/000001.log)" in words


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ({"first": None, "low": None, "high": None, "last": None, "reason": None}, "never decided"),
        ({"first": None, "low": None, "high": None, "last": None, "reason": "off"}, "no limit (off)"),
        ({"first": 1024, "low": 1024, "high": 1024, "last": 1024, "reason": "off"}, "no limit but 1,024 agents (off)"),
        ({"first": 8, "low": 8, "high": 8, "last": 8, "reason": "fixed"}, "8 (fixed)"),
        ({"first": 8, "low": 0, "high": 8, "last": 0, "reason": "drain"}, "8 → 0..8 → 0 (drain)"),
    ],
)
def test_window_paths(window, text):
    assert window_path(window) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (11220, "3 h 07 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "?"), (0.01234, "0.0123"), (99.96, "100"), (1234.5, "1,234")])
def test_numbers(value, text):
    assert number(value) == text


def test_a_limit_on_tokens_is_told_as_such():
    decisions = [
        r.Decided(t=float(i), engine="e", agents=None, tokens=tokens, requests=None, reason="hold")
        for i, tokens in enumerate((900, 400, 700))
    ]
    engine = summarise(fold([r.SegmentStarted(t=0.0, epoch=0.0, host="h", pid=1, version="1"), *decisions]))["engines"]["e"]
    assert engine["tokens"] == {"first": 900, "low": 400, "high": 900, "last": 700}
    assert limit_path(engine) == "900 → 400..900 → 700 tokens (hold)"


@pytest.mark.parametrize(
    ("agents", "text"),
    [(16, "900 tokens → 900..900 tokens → 16 agents (first)"), (None, "900 tokens → 900..900 tokens → no limit (first)")],
)
def test_where_tokens_have_no_limit_now_the_one_on_agents_is_told(agents, text):
    start = [r.SegmentStarted(t=0.0, epoch=0.0, host="h", pid=1, version="1")]
    weighed = r.Decided(t=0.0, engine="e", agents=1024, tokens=900, reason="hold")
    resumed = r.Decided(t=0.0, engine="e", agents=agents, tokens=None, reason="first")
    engine = summarise(fold([*start, weighed, *start, resumed]))["engines"]["e"]
    assert limit_path(engine) == text


def test_a_limit_on_model_calls_is_told_as_such():
    seen = r.EngineSeen(t=0.0, engine="e", engine_kind="sglang", policy="requests:3")
    three, one = (r.Decided(t=0.0, engine="e", agents=1024, requests=n, reason="fixed") for n in (3, 1))
    summary = summarise(fold([segment(), seen, three]))
    assert summary["engines"]["e"]["requests"] == 3
    assert "limit       3 model calls at once (fixed), requests:3 on e" in printed(summary)
    assert "limit       1 model call at once" in printed(summarise(fold([segment(), seen, one])))


def test_where_no_call_was_made_no_engine_keeps_its_cached_share_to_itself():
    assert "not told" not in printed(summarise(fold([segment()])))


def test_limits_are_those_of_the_policy_that_the_run_was_resumed_under():
    def segment(policy, agents, tokens):
        yield r.SegmentStarted(t=0.0, epoch=0.0, host="h", pid=1, version="1")
        yield r.EngineSeen(t=0.0, engine="e", engine_kind="sglang", policy=policy)
        yield r.Decided(t=0.0, engine="e", agents=agents, tokens=tokens, reason="hold")

    begun = [*segment("forecast", 1024, 900)]
    again = [*begun, *segment("forecast", 1024, 500), r.Decided(t=1.0, engine="e", agents=1024, tokens=None, reason="aside")]
    other = [*again, *segment("aimd", 8, None)]
    assert limit_path(summarise(fold(again))["engines"]["e"]) == "900 tokens → 500..900 tokens → 1,024 agents (aside)"
    assert limit_path(summarise(fold(other))["engines"]["e"]) == "8 (hold)"
    assert limit_path(summarise(fold([*other, *begun]))["engines"]["e"]) == "900 tokens (hold)"


def test_a_run_of_single_steps_has_no_history_and_an_engine_may_not_tell():
    def recomputed(**told):
        return " ".join(printed(summarise(fold([segment(), start("a#0", 0), reply("a#0", 1, base=1, **told)]))).split())

    assert "recomputed nothing: no history was sent again" in recomputed(prompt_tokens=100, cached_tokens=53, missed_tokens=0)
    assert "recomputed not told by the engine" in recomputed(prompt_tokens=100)
