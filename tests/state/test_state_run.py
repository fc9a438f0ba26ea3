"""What the fold keeps, and that it stays bounded."""

import pickle
import random

import pytest

from concur_batch import records as r
from concur_batch.results.summary import summarise, window_path
from concur_batch.state import RunState, fold
from concur_batch.state.engine import HISTORY, MOVES
from concur_batch.state.faults import MOST_EXAMPLES, MOST_GROUPS, OTHERS, Faults
from concur_batch.state.run import MOST_TOOLS, OTHER_TOOLS
from concur_batch.state.timeline import Agents, Timeline

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")


def started(t, name, **more):
    return r.RolloutStarted(t=t, rollout=name, engine="e", task=name, k=0, index=0, seed=0, **more)


def ended(t, name, **more):
    return r.RolloutFinished(t=t, rollout=name, engine="e", **({"status": "completed"} | more))


# Who is active


def test_counts_of_paused_and_active_are_those_of_the_live_ones():
    dice, names = random.Random(1), [f"{i}#0" for i in range(6)]
    state = fold([OPENED, r.BatchLoaded(t=0, tasks=6, rollouts=6)])
    where = {"t": 1.0, "engine": "e", "step": 1}
    for _ in range(3_000):
        name = dice.choice(names)
        state.apply(
            dice.choice(
                [
                    started(1, name),
                    started(1, name, resumed=True),
                    r.RolloutPaused(**where, rollout=name, reason="limit"),
                    r.RolloutYielded(**where, rollout=name),
                    r.RolloutReturned(**where, rollout=name, paused_s=1.0),
                    ended(1, name),
                    OPENED if dice.random() < 0.02 else started(1, name),
                ]
            )
        )
        live = state.live.values()
        assert state.paused == sum(x.paused for x in live)
        assert state.active == len(live) - sum(x.paused for x in live) - sum(x.yielded for x in live)


def test_the_timeline_goes_on_over_segments():
    first = [OPENED, r.BatchLoaded(t=0, tasks=3, rollouts=3), started(0.5, "a"), started(2.5, "b"), ended(4.2, "a")]
    state = fold([*first, OPENED, started(0.1, "b", resumed=True), r.SegmentFinished(t=1.9, cause="drained")])
    assert state.timeline.points == [
        Agents(1, 0, 2),
        Agents(1, 0, 2),
        Agents(2, 0, 1),
        Agents(2, 0, 1),
        Agents(1, 0, 1),
        Agents(1, 0, 1),
    ]
    assert state.elapsed == 4.2 + 1.9


def test_sums_of_a_segment_begin_anew():
    reply = r.ToolFinished(t=1, rollout="a", step=1, n=1, tool="t", output="", seconds=2.0)
    state = fold([OPENED, reply, OPENED, reply, reply])
    assert (state.totals.tool_s, state.segment_totals.tool_s, state.segment_totals.tool_calls) == (6.0, 4.0, 2)


def test_an_engine_that_a_resumed_run_goes_without_is_none_of_its_engines_and_is_told_as_it_was():
    def decided(engine, agents):
        return r.Decided(t=1, engine=engine, agents=agents, reason="hold")

    first = [OPENED, decided("e", 16), decided("f", 8), decided("f", 9)]
    state = fold([*first, OPENED, decided("e", 20)])
    assert list(state.engines) == ["e"]
    told = {name: engine["window"] for name, engine in summarise(state)["engines"].items()}
    assert [told[name]["last"] for name in ("e", "f")] == [20, 9]
    assert window_path(told["f"]) == "8 → 8..9 → 9 (hold)"
    back = fold([*first, OPENED, decided("e", 20), OPENED, decided("f", 7)]).engines["f"]
    assert (back.decision.agents, back.window.first) == (7, 8)


def test_admission_is_timed_once_for_each_attempt():
    state = fold([OPENED, started(3.0, "a"), OPENED, started(1.0, "a", resumed=True), started(5.0, "b")])
    assert (state.totals.admitted, state.totals.admission_s) == (2, 8.0)


# Retries


def retried(t, n, retries, retry_s, message="http://e: HTTP 503: full"):
    where = {"rollout": "a", "engine": "e", "step": 1, "n": n}
    return r.CallRetried(t=t, **where, error="EngineBusy", message=message, retries=retries, retry_s=retry_s, pause_s=1.0)


def failed(t, n, **more):
    where = {"rollout": "a", "engine": "e", "step": 1, "n": n}
    return r.CallFailed(t=t, **where, hash="", error="EngineBusy", message="http://e: HTTP 503: full", **more)


def of_retries(*story):
    totals = fold([OPENED, started(0, "a"), *story]).totals
    return totals.retries, totals.retry_s


def test_retries_count_as_they_are_made_and_once():
    """Two calls at once; a journal of before `call_retried` was written comes to the same."""
    going_on = [retried(1.0, 1, 1, 1.0), retried(2.0, 2, 1, 2.0), retried(3.0, 1, 2, 3.0)]
    assert of_retries(*going_on) == (3, 5.0)
    ends = [failed(8.0, 1, retries=2, retry_s=8.0), failed(9.0, 2, retries=1, retry_s=9.0, wait_s=0.5)]
    assert of_retries(*going_on, *ends) == of_retries(*ends) == (3, 17.0)


def test_a_call_that_is_made_anew_after_a_resume_counts_its_retries_anew():
    again = [OPENED, started(0.5, "a", resumed=True), retried(1.0, 1, 1, 1.0)]
    assert of_retries(retried(1.0, 1, 1, 1.0), retried(3.0, 1, 2, 3.0), *again) == (3, 4.0)


def test_attempts_that_failed_stand_among_the_errors_while_the_call_is_tried_again():
    state = fold([OPENED, started(0, "a"), retried(1.0, 1, 1, 1.0), retried(3.0, 1, 2, 3.0)])
    group = state.faults.groups["attempt", "EngineBusy"]
    assert (group.count, group.newest.message) == (2, "http://e: HTTP 503: full")
    assert (state.retrying("e"), state.retrying("other")) == ((1, "http://e: HTTP 503: full"), None)
    state.apply(failed(8.0, 1, retries=2, retry_s=8.0))
    assert state.retrying("e") is None


def test_what_is_told_of_calls_that_are_tried_again_is_of_those_that_still_are():
    """The newest of them, without the engine's name."""
    story = [OPENED, started(0, "a"), retried(1.0, 1, 1, 1.0, "e: HTTP 503"), retried(2.0, 3, 1, 1.0, "e: HTTP 500")]
    state = fold([*story, retried(3.0, 2, 1, 1.0, "e: HTTP 429")])
    assert state.retrying("e") == (3, "HTTP 429")
    state.apply(failed(4.0, 2, retries=1, retry_s=4.0))
    assert state.retrying("e") == (1, "HTTP 500")  # what is before the newest call that ended may have been given up


# Waits that the end of a process cuts off


@pytest.mark.parametrize("end", [[], [r.SegmentFinished(t=10.0, cause="drained")]])
def test_waits_that_a_processs_end_cuts_off_stay_counted(end):
    """Paused, at a lost engine, between attempts; whoever is in a tool or in a model call waits for nobody."""
    names = ("paused", "a", "tool", "model")
    story = [OPENED, *(started(1.0, name) for name in names)]
    story += [r.RolloutStarted(t=1.0, rollout="b", engine="f", task="b", k=0, index=0, seed=0)]
    story += [r.RolloutPaused(t=3.0, rollout="paused", engine="e", step=1, reason="limit"), retried(5.0, 1, 1, 4.0)]
    story += [r.ToolStarted(t=5.0, rollout="tool", step=1, n=1, tool="t", hash="")]
    story += [r.EngineLost(t=6.0, engine="f", message="refused"), r.Sampled(t=10.0, engine="e")]
    whole = fold([*story, *end, OPENED]).totals
    assert (whole.paused_s, whole.wait_s, whole.retry_s) == (7.0, 4.0, 4.0 + 5.0)
    again = [started(1.0, "paused", resumed=True), ended(2.0, "paused"), r.SegmentFinished(t=2.0, cause="finished")]
    assert fold([*story, *end, OPENED, *again]).totals.paused_s == 7.0  # who was not taken up has waited for nothing but that


def test_a_run_that_broke_off_counts_its_waits_and_goes_on_as_before():
    state = fold([OPENED, started(1.0, "a"), r.RolloutPaused(t=3.0, rollout="a", engine="e", step=1, reason="limit")])
    state.apply(r.Sampled(t=10.0, engine="e"))
    state.break_off("broke off")
    assert (state.totals.paused_s, state.active) == (7.0, 0)
    state.go_on()
    assert (state.totals.paused_s, state.finished) == (0.0, None)
    state.apply(OPENED)
    assert state.totals.paused_s == 7.0


def test_a_call_that_the_agent_gave_up_is_not_tried_again_for_ever():
    """No record tells of that; a later call's does."""
    story = [OPENED, started(1.0, "a"), retried(5.0, 1, 1, 4.0)]
    assert fold(story).retrying("e") == (1, "http://e: HTTP 503: full")
    state = fold([*story, r.ToolStarted(t=6.0, rollout="a", step=1, n=2, tool="t", hash="")])
    assert state.retrying("e") is None
    state.apply(r.ToolFinished(t=7.0, rollout="a", step=1, n=2, tool="t", output=""))
    state.apply(r.SegmentFinished(t=20.0, cause="drained"))
    assert state.totals.retry_s == 4.0


# Timeline


def test_points_are_joined_in_pairs_when_there_are_too_many():
    line = Timeline(step_s=1.0, most=4)
    line.reach(4.0, Agents(4, 0, 0))
    assert line.points == [Agents(4, 0, 0)] * 4
    line.reach(5.0, Agents(0, 2, 0))
    assert line.step_s == 2.0
    assert line.points == [Agents(4, 0, 0), Agents(4, 0, 0)]
    line.reach(6.0, Agents(0, 2, 0))
    assert line.points[-1] == Agents(0, 2, 0)
    line.reach(1e300, Agents(1, 1, 1))
    assert len(line.points) <= 4


# Tools and errors


def test_tools_are_summed_up_and_invented_names_go_together():
    calls = [r.ToolFinished(t=1, rollout="a", step=1, n=1, tool="shell", output="x", seconds=s, ok=s < 2) for s in (1.0, 3.0)]
    more = [r.ToolFinished(t=1, rollout="a", step=1, n=1, tool=f"t{i}", output="") for i in range(200)]
    state = fold([OPENED, *calls, *more])
    shell = state.tools["shell"]
    assert (shell.calls, shell.errors, shell.seconds, shell.longest_s) == (2, 1, 4.0, 3.0)
    assert len(state.tools) == MOST_TOOLS + 1
    assert state.tools[OTHER_TOOLS].calls == 200 - MOST_TOOLS + 1


def test_errors_keep_their_newest_messages():
    faults = Faults()
    for i in range(20):
        faults.add("rollout", "engine", f"code {i % 8}\n  more", f"r{i}", float(i))
    group = faults.groups["rollout", "engine"]
    assert (group.count, group.at, group.newest.message, group.newest.count) == (20, 19.0, "code 3 more", 1)
    assert len(group.examples) == MOST_EXAMPLES
    faults.add("rollout", "engine", "code 3 more", "x", 20.0)
    assert (group.newest.count, group.newest.rollout) == (2, "x")
    for i in range(100):
        faults.add("tool", f"class {i}", "", "r", 1.0)
    assert len(faults.groups) <= MOST_GROUPS + 1
    assert faults.groups["tool", OTHERS].count == 100 - (MOST_GROUPS - 1)


# Engines


def decided(t, tokens=None, reason="hold", **more):
    return r.Decided(t=t, engine="e", tokens=tokens, reason=reason, **more)


def test_moves_of_one_kind_that_follow_each_other_are_one():
    grown = [decided(float(t), agents=8 + 2 * t, reason="grow") for t in range(5)]
    state = fold([OPENED, *grown, decided(5.0, agents=8, reason="cut"), decided(6.0, agents=8, reason="hold")])
    moves = [(m.before and m.before.agents, m.after.agents, m.after.reason) for m in state.engines["e"].moves]
    assert moves == [(None, 8, "grow"), (8, 16, "grow"), (16, 8, "cut")]


def test_a_limit_on_tokens_that_drifts_has_not_moved():
    state = fold(
        [OPENED, *(decided(float(t), tokens=100_000 - t) for t in range(50)), decided(60.0, tokens=50_000, reason="cut")]
    )
    assert [m.after.tokens for m in state.engines["e"].moves] == [100_000, 50_000]
    assert state.engines["e"].tokens == (100_000, 50_000, 100_000)


def test_a_limit_on_tokens_that_goes_to_and_fro_while_it_holds_is_told_when_it_has_gone_far():
    drift = [decided(float(t), tokens=100_000 + (-1) ** t * 1_500) for t in range(20)]
    state = fold([OPENED, *drift, decided(21.0, tokens=90_000), decided(22.0, tokens=88_000, reason="cut")])
    assert [(m.before and m.before.tokens, m.after.tokens) for m in state.engines["e"].moves] == [
        (None, 101_500),
        (101_500, 90_000),
        (90_000, 88_000),
    ]


def test_a_move_keeps_what_it_was_taken_on():
    sample = r.Sampled(t=1, engine="e", locked=0.4, prompt_tokens=10, cached_tokens=4, history_tokens=8, missed_tokens=2)
    move = fold([OPENED, sample, decided(1.0, agents=4)]).engines["e"].moves[0]
    assert (move.locked, move.hit, move.miss) == (0.4, 0.4, 0.25)


def test_the_queue_is_weighed_by_time():
    samples = [r.Sampled(t=t, engine="e", queued_requests=q, running_requests=4) for t, q in ((1.0, 9), (2.0, 4), (4.0, 0))]
    engine = fold([OPENED, *samples]).engines["e"]
    assert (engine.queue_s, engine.flight_s) == (4 * 1, 8 * 1 + 4 * 2)


# Size


def test_it_does_not_grow_with_steps():
    """A long run of a few agents is as large as a short one."""

    def of(steps):
        state = RunState()
        for record in [OPENED, r.BatchLoaded(t=0, tasks=4, rollouts=4), *(started(0, f"{i}") for i in range(4))]:
            state.apply(record)
        for i in range(steps):
            name, t = f"{i % 4}", i / 2
            state.apply(
                r.ReplyReceived(
                    t=t,
                    rollout=name,
                    engine="e",
                    step=i,
                    n=i,
                    hash="",
                    base=0,
                    new=[],
                    message={},
                    finish_reason="",
                    prompt_tokens=1,
                    completion_tokens=1,
                )
            )
            state.apply(r.ToolFinished(t=t, rollout=name, step=i, n=i, tool="t", output=f"{i} " * 99, ok=False, seconds=1.0))
            state.apply(r.Sampled(t=t, engine="e", locked=0.5))
            state.apply(decided(t, agents=i % 7 + 1))
        engine = state.engines["e"]
        assert len(engine.samples) <= HISTORY
        assert len(engine.moves) <= MOVES
        return len(pickle.dumps([state.timeline.points, engine.samples, engine.moves, state.faults.groups, state.tools]))

    assert of(20_000) < 1.2 * of(5_000)
