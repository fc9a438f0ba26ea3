import io
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
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
    text = drawn(fold([*story(), failed()]), 41.0, 100, 40, title="runs/first", keys=True)
    for said in (
        "runs/first",
        "elapsed 41 s",
        "1 of 13   7%",
        "active         2",
        "waiting       10",
        "1 failed",
        "limit          4 agents",
        "2 active (50%)",
        "hit          75%",
        "miss         10%",
        "note     only replies tell of the cache",
        "1 rollout     tool: it broke with details",
        "8 → 4",
        "cut: 25% locked, 75% hit",
        "shell",
        "p hold  +/- limit  e errors  q drain",
    ):
        assert said in text


def test_lost_engine_and_drain_stand_out():
    state = fold([*story(), r.EngineLost(t=35, engine=E, message=f"{E} refused"), r.DrainStarted(t=36, cause="SIGINT")])
    text = drawn(state, 40.0, width=60, height=20)
    assert f"ENGINE LOST {E} for 5 s: refused" in " ".join(text.split())
    assert "DRAINING (SIGINT): 3 agents" in text
    line = plain.line(state, 40.0)
    assert f"ENGINE LOST {E} for 5 s: refused" in line
    assert "draining (SIGINT)" in line


def test_all_have_only_ended_when_the_last_has():
    ended = [r.RolloutFinished(t=1, rollout=f"t{i}#0", engine=E, status="completed") for i in range(599)]
    state = fold(
        [r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"), r.BatchLoaded(t=0, tasks=600, rollouts=600), *ended]
    )
    assert "599/600 ended (99%)" in plain.line(state, 1.0)
    assert "599 of 600  99%" in drawn(state, 1.0)


def test_under_a_policy_that_weighs_agents_the_limit_on_tokens_is_told():
    decided = r.Decided(t=39, engine=E, agents=1024, tokens=94_000, reason="hold")
    state = fold([*story(), decided])
    assert "limit 94.0k tokens (as much as will fit, 1 s ago), locked 25%" in plain.line(state, 40.0)
    both = fold([*story(), decided, r.Decided(t=39, engine="http://10.0.0.2:30000", agents=4, reason="hold")])
    text = drawn(both, 40.0)
    assert re.search(r"127.0.0.1:30000 .* 94.0k tokens", text)
    assert re.search(r"10.0.0.2:30000 .* 4 agents", text)


def test_agents_longest_in_their_phase_come_first_and_paused_ones_last():
    text = drawn(fold(story(live=100, paused=30)), 120.0, height=90)
    rows = [line.split()[0] for line in text.splitlines() if line.strip().startswith("task-")]
    # 99 has been in its tool as long as 30 with its model
    assert rows == [f"task-{k}#0" for k in (30, 99, *range(31, 41))]


def test_the_last_picture_has_neither_agents_nor_keys():
    text = drawn(fold(story()), 40.0, height=50, last=True, keys=True)
    assert "task-1#0" not in text
    assert "q drain" not in text
    assert text.splitlines()[-1].strip()


def test_who_looks_on_has_other_keys():
    state = fold(story())
    assert "e errors  q leave" in drawn(state, 40.0, keys=True, steering=False)
    assert "e back  q leave" in drawn(state, 40.0, keys=True, steering=False, view="errors")
    held = fold([*story(), r.Steered(t=39, held=True, factor=1.1)])
    assert "p release  +/- limit  0 as decided" in drawn(held, 40.0, keys=True)


def test_a_rollout_tried_again_is_no_error_any_more():
    again = r.RolloutStarted(t=39.5, rollout="task-0#0", engine=E, task="task-0", k=0, index=0, seed=0, attempt=2)
    assert "it broke" in drawn(fold([*story(), failed()]), 40.0)
    assert "it broke" not in drawn(fold([*story(), failed(), again]), 40.0)
    both = fold([*story(), failed(), failed("task-1#0"), again])
    assert "1 tried again since" in drawn(both, 40.0, view="errors")


def test_nobody_is_active_in_a_run_that_has_ended():
    state = fold([*story(live=11), r.SegmentFinished(t=41, cause="broke off")])
    text = " ".join(drawn(state, 41.0, 100, 40).split())
    assert "active 0" in text
    assert "paused 11" in text
    assert "task-1#0" not in text
    assert "active 0, paused 11, waiting 10" in plain.line(state, 41.0)


def test_the_greatest_value_of_a_chart_is_not_below_the_one_beside_it():
    stream = [*story(live=14), r.Sampled(t=50, engine=E)]
    more = [r.RolloutPaused(t=50.1, rollout=f"task-{k}#0", engine=E, step=1, reason="limit") for k in range(13)]
    assert re.search(r"paused +13 .*  max 13\b", drawn(fold([*stream, *more]), 50.2, 80, 24))


def rows_of(*samples):
    text = drawn(fold([*story(samples=0), *samples]), 33.0, 80, 30)
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line[:1].isalpha()}


def test_nothing_yet_is_not_the_same_as_not_told():
    early = rows_of(r.Sampled(t=31, engine=E, active=3))
    assert (early["hit"], early["miss"]) == ("- no reply yet", "- no reply yet")
    assert early["prefill"] == "- no reading yet"
    first = rows_of(r.Sampled(t=31, engine=E, prompt_tokens=100, cached_tokens=0, missed_tokens=0))
    assert first["hit"].startswith("0%")
    assert first["miss"] == "- no history was sent again yet"
    never = rows_of(*(r.Sampled(t=30 + t, engine=E, prompt_tokens=100) for t in range(3)))
    assert {never[name] for name in ("hit", "miss", "prefill", "queue")} == {"- not told by the engine"}


def test_decode_says_that_it_counts_replies_while_a_long_one_is_under_way():
    assert rows_of(r.Sampled(t=31, engine=E, running_requests=3))["decode"].endswith("as replies come")
    assert "max 9 tok/s" in rows_of(r.Sampled(t=31, engine=E, running_requests=3, generated_tokens=9))["decode"]


def test_a_cold_cache_after_a_resume_is_not_called_thrashing():
    sample = {"engine": E, "prompt_tokens": 100, "cached_tokens": 9, "history_tokens": 100, "missed_tokens": 91}
    begun = r.SegmentStarted(t=0, epoch=2e9, host="h", pid=2, version="0")
    stream = [*story(), begun, r.Sampled(t=3, **sample)]
    assert "miss         91%" in drawn(fold(stream), 3.0)
    assert "thrashing" not in drawn(fold(stream), 3.0)
    assert "thrashing" in drawn(fold([*stream, r.Sampled(t=40, **sample)]), 40.0)


@pytest.mark.parametrize("engines", [1, 2, 40])
@pytest.mark.parametrize("view", ["main", "errors"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (200, 50), (40, 8), (12, 3), (1, 1)])
def test_it_fits(width, height, engines, view):
    more = [r.EngineSeen(t=1, engine=f"http://10.0.0.{k}:1", engine_kind="openai") for k in range(1, engines)]
    state = fold([*story(live=50), *more, failed(), r.EngineLost(t=35, engine=E, message="no " * 200)])
    lines = drawn(state, 40.0, width, height, view=view, keys=True).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("view", ["main", "errors"])
def test_encodings_without_blocks(encoding, view):
    name = "tâche-漢#0"
    more = r.RolloutStarted(t=0, rollout=name, engine=E, task="x", k=0, index=0, seed=0)
    error = r.RolloutFinished(t=3, rollout="é", engine=E, status="error", error=r.ErrorInfo(error_class="ö", message="→ä"))
    steered = r.Steered(t=4, held=True, factor=0.9)
    state = fold([*story(), more, error, steered, r.EngineLost(t=1, engine=E, message="refusé " * 50)])
    for width, height in ((60, 20), (160, 50)):
        assert drawn(state, 40.0, width, height, encoding=encoding, title="läufe", view=view, keys=True).isascii()
    assert plain.line(state, 40.0).isascii()


def test_no_color():
    state = fold([*story(), failed()])
    assert "\x1b[32m" in drawn(state, 40.0, terminal=True)
    plain_codes = set(re.findall(r"\x1b\[([\d;]*)m", drawn(state, 40.0, terminal=True, no_color=True)))
    assert plain_codes <= {"0", "1", "2"}  # bold and dim only


def test_foreign_text_controls_nothing():
    bad = "\x1b[2J\x1b]0;own\x07\u202e\u009b1m\r\n\t"
    error = r.ErrorInfo(error_class=f"a{bad}", message=f"b{bad}")
    stream = [
        r.EngineSeen(t=0, engine=f"e{bad}", engine_kind=bad, model=bad, policy=bad, note=bad),
        r.RolloutStarted(t=0, rollout=f"r{bad}", engine=f"e{bad}", task="t", k=0, index=0, seed=0),
        r.ToolStarted(t=1, rollout=f"r{bad}", step=1, n=1, tool=f"t{bad}", hash=""),
        r.ToolFinished(t=1, rollout="x", step=1, n=1, tool=f"u{bad}", output=bad, ok=False, error_class=bad),
        r.RolloutFinished(t=1, rollout=f"f{bad}", engine="e", status="error", error=error),
        r.CallFailed(t=1, rollout=bad, engine="e", step=1, n=1, hash="", error=bad, message=bad),
        r.CallRetried(
            t=1, rollout=f"r{bad}", engine=f"e{bad}", step=1, n=1, error=bad, message=bad, retries=1, retry_s=1, pause_s=1
        ),
        r.Decided(t=1, engine=f"e{bad}", agents=3, reason=bad),
        r.EngineLost(t=1, engine=f"e{bad}", message=bad),
        r.DrainStarted(t=1, cause=bad),
    ]
    for view in ("main", "errors"):
        text = drawn(fold(stream), 2.0, 160, 50, title=bad, view=view)
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert plain.line(fold(stream), 2.0).isprintable()


def test_what_the_engine_answers_is_told_while_calls_are_tried_again():
    where = {"rollout": "a#0", "engine": E, "step": 1, "n": 1}
    stream = [
        r.SegmentStarted(t=0, epoch=0, host="h", pid=1, version="0"),
        r.BatchLoaded(t=0, tasks=1, rollouts=1),
        r.EngineSeen(t=0, engine=E, engine_kind="openai"),
        r.RolloutStarted(t=0, rollout="a#0", engine=E, task="a", k=0, index=0, seed=0),
        r.CallRetried(t=1, **where, error="EngineBusy", message=f"{E}: HTTP 503: full", retries=1, retry_s=1.0, pause_s=9.0),
    ]
    state = fold(stream)
    assert "1 attempt     EngineBusy: " in drawn(state, 2.0, 100, 30)
    assert "HTTP 503: full" in drawn(state, 2.0, 100, 30)
    errors = drawn(state, 2.0, 100, 30, view="errors")
    assert "1 retry" in errors
    assert "HTTP 503: full" in errors
    assert "1 call tried again, HTTP 503: full" in plain.line(state, 2.0)


def test_no_heading_of_the_errors_stands_at_the_end_with_nothing_below_it():
    def tool(k):
        return r.ToolFinished(t=1, rollout="a#0", step=1, n=k, tool="shell", output=f"no {k}", ok=False, error_class=f"c{k}")

    state = fold([*story(), failed(), *(tool(k) for k in range(9))])
    for height in range(6, 30):
        *shown, more = drawn(state, 40.0, 80, height, view="errors", last=True).rstrip().splitlines()
        if more.startswith("more on a larger terminal"):
            assert re.match(r" {6}|errors", shown[-1]), shown[-1]


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
    of(r.BatchLoaded, tasks=whole, rollouts=whole | st.integers(0, 5), max_agents=whole),
    of(
        r.EngineSeen,
        engine=engines,
        engine_kind=texts,
        note=st.none() | texts,
        version=st.none() | texts,
        capacity_tokens=maybe,
        policy=st.sampled_from(["forecast", "aimd", "off", "x"]),
    ),
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
        model_s=times,
        wait_s=times,
        retry_s=times,
    ),
    of(r.ToolStarted, rollout=names, hash=texts, **calls),
    of(r.ToolFinished, rollout=names, output=texts, ok=st.booleans(), seconds=times, **calls),
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
        queued_requests=maybe,
        prefill_tokens=maybe,
        capacity_tokens=maybe,
        committed_tokens=whole,
        active=whole,
        waiting=whole,
        generated_tokens=whole,
        steps=whole,
        lag_s=times,
        stale=st.booleans(),
    ),
    of(r.Decided, engine=engines, agents=maybe, tokens=maybe, requests=maybe, reason=texts),
    of(r.CallFailed, rollout=names, engine=engines, step=whole, n=whole, hash=texts, error=texts, message=texts),
    st.builds(
        r.CallRetried,
        t=times,
        rollout=names,
        engine=engines,
        step=whole,
        n=st.integers(0, 3),
        error=texts,
        message=texts,
        retries=whole,
        retry_s=times,
        pause_s=times,
    ),
    of(r.RolloutYielded, rollout=names, engine=engines, step=whole),
    of(r.RunnerMeasured, seconds=times, cpu_s=times, resident_bytes=whole, lag_s=times),
    of(r.Steered, held=st.booleans(), factor=times),
    of(r.DrainStarted, cause=texts),
    of(r.SegmentFinished, cause=texts),
)


@settings(max_examples=150, deadline=None)
@given(
    stream=st.lists(any_record, max_size=30),
    now=times,
    width=st.integers(1, 210),
    height=st.integers(1, 60),
    encoding=st.sampled_from(["utf-8", "ascii"]),
    title=texts,
    view=st.sampled_from(["main", "errors"]),
    keys=st.booleans(),
    last=st.booleans(),
)
def test_any_state_can_be_shown(stream, now, width, height, encoding, title, view, keys, last):
    state = fold(stream)
    text = drawn(state, now, width, height, encoding=encoding, title=title, view=view, keys=keys, last=last)
    assert len(text.splitlines()) <= height
    assert max(map(cell_len, text.splitlines()), default=0) <= width
    assert plain.line(state, now).isascii()


def test_two_gauges_that_disagree_leave_nothing_negative():
    readings = r.Sampled(t=42, engine=E, locked=0.012, resident=0.01)  # read one after the other
    text = drawn(fold([*story(), readings]), 43.0, 100, 40)
    assert "-0%" not in text
    assert "evictable   0%" in text


def test_what_is_locked_is_not_free_although_the_rest_was_told_before():
    readings = r.Sampled(t=42, engine=E, locked=0.6, resident=0.25)
    assert "locked  60%  ▒ evictable   0%  ░ free  40%" in drawn(fold([*story(), readings]), 43.0, 100, 40)


def test_while_it_drains_the_keys_are_those_that_still_do_something():
    state = fold([*story(), r.DrainStarted(t=41, cause="SIGINT")])
    assert drawn(state, 42.0, keys=True).splitlines()[-1] == "e errors  Ctrl-C stop at once"
    assert drawn(state, 42.0, keys=True, steering=False).splitlines()[-1] == "e errors  q leave"
