import io
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from concur_batch import records as r
from concur_batch.dashboard import plain
from concur_batch.dashboard.view import render
from concur_batch.state import fold

E = "http://127.0.0.1:30000"


def drawn(state, now, width=80, height=24, *, encoding="utf-8", terminal=False, no_color=False, **options):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    system = "truecolor" if terminal else None
    console = Console(file=file, width=width, height=height, force_terminal=terminal, no_color=no_color, color_system=system)
    console.print(render(state, now, width, height, ascii_only=console.options.ascii_only, **options))
    file.flush()
    return raw.getvalue().decode(encoding)


def story(live=3, paused=0, samples=5):
    yield r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")
    yield r.BatchLoaded(t=0, tasks=live + 10, rollouts=live + 10)
    yield r.EngineSeen(t=0, engine=E, engine_kind="sglang", policy="aimd", model="qwen", note="only replies tell of the cache")
    for k in range(live):
        yield r.RolloutStarted(t=k, rollout=f"task-{k}#0", engine=E, task=f"task-{k}", k=0, index=k, seed=0)
    for k in range(paused):
        yield r.RolloutPaused(t=k, rollout=f"task-{k}#0", engine=E, step=1, reason="limit")
    yield r.ToolStarted(t=30, rollout=f"task-{live - 1}#0", step=1, n=2, tool="shell", hash="")
    for t in range(samples):
        shares = {"locked": 0.25, "resident": 0.5, "prompt_tokens": 100, "cached_tokens": 75}
        yield r.Sampled(t=36 + t, engine=E, history_tokens=50, missed_tokens=5, active=live - paused, steps=2, **shares)
    yield r.Decided(t=30, engine=E, agents=8, reason="grow")
    yield r.Decided(t=33, engine=E, agents=4, reason="cut")
    yield r.Decided(t=38, engine=E, agents=4, reason="hold")


def failed(name="task-0#0"):
    error = r.ErrorInfo(error_class="tool", message="it broke\nwith details")
    return r.RolloutFinished(t=39, rollout=name, engine=E, status="error", error=error)


def test_everything_a_person_asks_is_there():
    state = fold([*story(), failed()])
    text = drawn(state, 40.0, title="runs/first")
    for said in (
        "runs/first",
        "elapsed 40 s",
        "1 of 13  8%",
        "active 2  paused 0  waiting 10  done 0  failed 1",
        "window 4 (cut 7 s ago)",
        "locked    25%",
        "resident  50%",
        "hit       75%",
        "miss      10%",
        "▇",
        "note: only replies tell of the cache",
        "task-0#0 tool: it broke",
        "shell",
        "10 s",
    ):
        assert said in text
    assert "details" not in text


def test_lost_engine_and_drain_stand_out():
    state = fold([*story(), r.EngineLost(t=35, engine=E, message="connection refused"), r.DrainStarted(t=36, cause="SIGINT")])
    text = drawn(state, 40.0, width=60, height=20)
    assert f"ENGINE LOST {E} for 5 s:" in text
    assert "DRAINING (SIGINT): 3 agents" in text
    line = plain.line(state, 40.0)
    assert "ENGINE LOST" in line
    assert "draining (SIGINT)" in line


def test_under_a_policy_that_weighs_agents_the_limit_on_tokens_is_told():
    decided = r.Decided(t=39, engine=E, agents=1024, tokens=94_000, reason="hold")
    state = fold([*story(), decided])
    assert "limit 94.0k tokens (hold 1 s ago), locked 25%" in plain.line(state, 40.0)
    both = fold([*story(), decided, r.Decided(t=39, engine="http://10.0.0.2:30000", agents=4, reason="hold")])
    text = drawn(both, 40.0, height=12)
    assert "limit  94.0k tokens" in text
    assert "window     4" in text


def test_at_most_twenty_agents_longest_first_paused_last():
    state = fold(story(live=100, paused=30))
    rows = [line.split()[0] for line in drawn(state, 120.0, height=60).splitlines() if line.startswith("task-")]
    assert rows == [f"task-{k}#0" for k in (30, 99, *range(31, 49))]  # 99 has been in its tool as long as 30 with its model
    assert "and 80 more: 50 model, 30 paused" in drawn(state, 120.0, height=60)


def test_the_last_picture_has_no_agents():
    assert "task-1#0" not in drawn(fold(story()), 40.0, show_agents=False)


@pytest.mark.parametrize("engines", [1, 2, 40])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (200, 50), (40, 8), (12, 3), (1, 1)])
def test_it_fits(width, height, engines):
    more = [r.EngineSeen(t=1, engine=f"http://10.0.0.{k}:1", engine_kind="openai") for k in range(1, engines)]
    state = fold([*story(live=50), *more, failed(), r.EngineLost(t=35, engine=E, message="no " * 200)])
    lines = drawn(state, 40.0, width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_encodings_without_blocks(encoding):
    name = "tâche-漢#0"
    more = r.RolloutStarted(t=0, rollout=name, engine=E, task="x", k=0, index=0, seed=0)
    state = fold([*story(), more, r.EngineLost(t=1, engine=E, message="refusé " * 50)])
    assert drawn(state, 40.0, width=60, encoding=encoding, title="läufe").isascii()
    assert plain.line(state, 40.0).isascii()


def test_no_color():
    state = fold([*story(), failed()])
    assert "\x1b[1;32m" in drawn(state, 40.0, terminal=True)
    plain_codes = set(re.findall(r"\x1b\[([\d;]*)m", drawn(state, 40.0, terminal=True, no_color=True)))
    assert plain_codes <= {"0", "1", "2"}  # bold and dim only


texts = st.text("ab [/]\x1b\n漢é\ud800", max_size=12)
names = st.sampled_from(["a#0", "b#0", "[bold]#1", "漢\n#2"])
engines = st.sampled_from(["sim", E, "[red]"])
times = st.floats(-1, 200) | st.sampled_from([math.nan, math.inf, -math.inf, 1e300])
whole = st.integers(-5, 2**63)
maybe = st.none() | whole
shares = st.none() | st.floats(-0.5, 1.5) | st.sampled_from([math.nan, math.inf])
errors = st.none() | st.builds(r.ErrorInfo, error_class=texts, message=texts)


def of(kind, **fields):
    return st.builds(kind, t=times, **fields)


calls = {"step": whole, "n": st.integers(0, 3), "tool": texts}
any_record = st.one_of(
    of(r.SegmentStarted, epoch=times, host=texts, pid=whole, version=texts),
    of(r.BatchLoaded, tasks=whole, rollouts=whole | st.integers(0, 5)),
    of(r.EngineSeen, engine=engines, engine_kind=texts, note=st.none() | texts, version=st.none() | texts),
    of(r.EngineLost, engine=engines, message=texts),
    of(r.EngineReturned, engine=engines, away_s=times),
    of(r.RolloutStarted, rollout=names, engine=engines, task=texts, k=whole, index=whole, seed=whole, resumed=st.booleans()),
    st.builds(
        r.ReplyReceived,
        t=times,
        rollout=names,
        engine=engines,
        step=whole,
        n=whole,
        hash=texts,
        base=st.just(0),
        new=st.just([]),
        message=st.just({}),
        finish_reason=texts,
        prompt_tokens=whole,
        completion_tokens=whole,
        cached_tokens=maybe,
        missed_tokens=maybe,
    ),
    of(r.ToolStarted, rollout=names, hash=texts, **calls),
    of(r.ToolFinished, rollout=names, output=texts, **calls),
    of(r.RolloutPaused, rollout=names, engine=engines, step=whole, reason=texts),
    of(r.RolloutReturned, rollout=names, engine=engines, step=whole, paused_s=times),
    of(r.RolloutFinished, rollout=names, engine=engines, status=st.sampled_from(["completed", "error", "x"]), error=errors),
    st.builds(
        r.Sampled,
        t=times,
        engine=engines,
        locked=shares,
        resident=shares,
        prompt_tokens=whole,
        cached_tokens=maybe,
        history_tokens=whole,
        missed_tokens=maybe,
        running_requests=maybe,
        steps=whole,
        lag_s=times,
        stale=st.booleans(),
    ),
    of(r.Decided, engine=engines, agents=maybe, tokens=maybe, requests=maybe, reason=texts),
    of(r.DrainStarted, cause=texts),
    of(r.SegmentFinished, cause=texts),
)


@settings(max_examples=150, deadline=None)
@given(
    stream=st.lists(any_record, max_size=30),
    now=times,
    width=st.integers(1, 210),
    height=st.integers(1, 50),
    encoding=st.sampled_from(["utf-8", "ascii"]),
    title=texts,
)
def test_any_state_can_be_shown(stream, now, width, height, encoding, title):
    state = fold(stream)
    assert len(drawn(state, now, width, height, encoding=encoding, title=title).splitlines()) <= height
    assert plain.line(state, now).isascii()
