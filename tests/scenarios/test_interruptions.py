"""Drains, stops, kills, lost engines: what was done stays done, and nothing runs twice that must not."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, after, drain, fan, finals, fresh_engine, rng, stop, tasks, turns

from concur_batch import records as r
from concur_batch.agent.call_records import INTERRUPTED
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineRefused, RunDirectoryError
from concur_batch.plan import Retry
from concur_batch.results.index import Trace
from concur_batch.results.rows import result_row
from concur_batch.state import fold


def test_a_drain_stops_everybody_at_a_boundary_and_repeats_nothing():
    stage = Stage(fresh_engine(), tasks(5)).run(after(3.5, drain))
    assert stage.complete is False
    assert stage.engine.cancelled == []
    assert {x.reason for x in stage.of(r.RolloutPaused)} == {"drain"}
    assert stage.of(r.RolloutFinished) == []
    first = stage.engine
    stage.engine = fresh_engine()
    stage.run()
    assert stage.complete
    assert len(finals(stage)) == 5
    assert len(first.requests) + len(stage.engine.requests) == 5 * 4
    assert len(stage.tools.ran) == len(set(stage.tools.ran)) == 5 * 4


async def returns_all_the_same(task, context):
    steps = 0
    try:
        while steps < 3:
            await context.complete(context.prompt)
            steps += 1
    finally:
        return f"{steps} steps"  # noqa: B012 - what is tried here


async def makes_an_error_of_it(task, context):
    try:
        for _ in range(3):
            await context.complete(context.prompt)
    except asyncio.CancelledError:
        raise ValueError("I was cancelled") from None
    return "3 steps"


@pytest.mark.parametrize("agent", [returns_all_the_same, makes_an_error_of_it])
@pytest.mark.parametrize("end", [drain, stop])
def test_whatever_an_agent_makes_of_being_stopped_it_goes_on_when_resumed(agent, end):
    stage = Stage(ScriptedEngine(turns(), delay_s=2.0), tasks(3), agents={"own": agent}, agent="own").run(after(3.0, end))
    assert stage.of(r.RolloutFinished) == []
    stage.run()
    assert set(finals(stage).values()) == {"3 steps"}


def test_the_resumed_request_has_the_same_messages_to_the_byte():
    whole = Stage(fresh_engine(), tasks(1)).run()
    stage = Stage(fresh_engine(), tasks(1)).run(after(4.0, stop))
    stage.engine = fresh_engine()
    stage.run()
    assert [q.messages for q in stage.engine.requests] == [q.messages for q in whole.engine.requests][1:]
    assert finals(stage) == finals(whole)


def test_an_interrupted_tool_call_is_told_and_never_run_twice():
    stage = Stage(fresh_engine(), tasks(1)).run(after(2.5, stop))  # in the first call of `once`
    assert len(stage.of(r.ToolStarted)) == 1
    assert stage.of(r.ToolFinished) == []
    stage.engine = fresh_engine()
    stage.run()
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) == len(set(once))
    assert stage.engine.requests[0].messages[-1]["content"] == INTERRUPTED
    assert stage.of(r.ToolFinished)[0].error_class == "interrupted"


def test_an_interrupted_repeatable_call_runs_again():
    stage = Stage(fresh_engine(), tasks(1)).run(after(5.5, stop))  # in `once` and `look` together
    stage.engine = fresh_engine()
    stage.run()
    assert [name for _, name, _ in stage.tools.ran] == ["once", "once", "look", "look", "once"]
    assert [m["content"].split()[0] for m in stage.engine.requests[0].messages[-2:]] == ["[interrupted:", "look"]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.lists(st.floats(0.1, 12.0), max_size=6), st.sampled_from(["off", "fixed:3", "aimd"]))
def test_killed_at_any_moments_everything_is_done_once(seed, moments, controller):
    """`stop` cancels without a word, as a kill does: nothing but the records is left."""
    random = rng(seed)
    names = [random.choice(["once", "look", ("once", "once")]) for _ in range(4)]
    stage = Stage(ScriptedEngine(turns(*names), delay_s=1.3), tasks(6), controller=controller, n=2)
    steps = 0
    for moment in moments:
        stage.engine = ScriptedEngine(turns(*names), delay_s=1.3)
        stage.run(after(moment, stop))
        steps += len(stage.engine.requests) - len(stage.engine.cancelled)
    stage.engine = ScriptedEngine(turns(*names), delay_s=1.3)
    stage.run()
    steps += len(stage.engine.requests)
    assert finals(stage) == {f"t{i}#{k}": f"answer of t{i}#{k}" for i in range(6) for k in range(2)}
    assert len(stage.of(r.RolloutFinished)) == 12
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) == len(set(once))
    assert len(stage.of(r.ReplyReceived)) == steps == 12 * 5


def test_an_agent_that_does_not_repeat_itself_is_told_where():
    moods = iter(["calm", "cross"])

    async def moody(task, ctx):
        messages = [{"role": "user", "content": next(moods)}]
        messages.append((await ctx.complete(messages)).message)
        await ctx.call("once", {"at": 1})
        return (await ctx.complete(messages)).message["content"]

    stage = Stage(fresh_engine(), tasks(1), agents={"moody": moody}, agent="moody").run(after(2.5, stop))
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.error.error_class) == ("error", "agent")
    assert "call 1" in end.error.message


def test_clock_and_chance_are_the_same_after_resume():
    seen = []

    async def curious(task, ctx):
        messages = ctx.prompt
        for _ in range(3):
            seen.append((ctx.now, ctx.random.random()))
            messages.append((await ctx.complete(messages)).message)
            await ctx.call("look", {"n": len(messages)})
        return "done"

    stage = Stage(fresh_engine(), tasks(1), agents={"c": curious}, agent="c").run(after(4.0, stop))
    before = list(seen)
    seen.clear()
    stage.engine = fresh_engine()
    stage.run()
    assert seen[: len(before)] == before
    assert len(seen) == 3


def test_failures_are_tried_again_only_when_asked_and_only_so_often():
    def outcome(request):
        return EngineRefused("no") if request.rollout == "t1#0" else turns()(request)

    stage = Stage(ScriptedEngine(outcome), tasks(3)).run()
    stage.run()
    assert len(stage.of(r.RolloutStarted)) == 3
    stage.retry = Retry(classes={"tool"})
    stage.run()
    assert len(stage.of(r.RolloutStarted)) == 3
    stage.retry = Retry(classes=())
    for _ in range(5):
        stage.run()
    assert [x.attempt for x in stage.of(r.RolloutStarted, "t1#0")] == [1, 2, 3]


def test_a_larger_job_starts_what_is_new():
    stage = Stage(fresh_engine(), tasks(2)).run()
    stage.job = tasks(4)
    stage.n = 2
    stage.engine = fresh_engine()
    stage.run()
    assert len(finals(stage)) == 8
    assert len({q.rollout for q in stage.engine.requests}) == 6


def test_a_journal_that_breaks_stops_the_run():
    with pytest.raises(RunDirectoryError, match="full"):
        Stage(fresh_engine(), tasks(5), full=lambda records, _: len(records) > 20).run()


def test_a_drain_waits_for_every_agent_also_for_those_with_several_calls():
    async def double(task, ctx):
        messages = ctx.prompt
        for _ in range(3):
            replies = await asyncio.gather(ctx.complete(messages), ctx.complete([*messages, messages[0]]))
            messages.append(replies[0].message)
        return "done"

    engine = ScriptedEngine(turns(*["once"] * 9), delay_s=lambda request: 2.0 if "t0" in request.rollout else 7.0)
    stage = Stage(engine, tasks(3), agents={"double": double}, agent="double").run(after(1.0, drain))
    assert stage.engine.cancelled == []
    stage.engine = ScriptedEngine(turns(*["once"] * 9), delay_s=2.0)
    stage.run()
    assert finals(stage) == {f"t{i}#0": "done" for i in range(3)}
    assert len(stage.of(r.ReplyReceived)) == 3 * 6


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 9.0), min_size=1, max_size=4), st.integers(0, 1000))
def test_an_agent_with_several_calls_at_once_resumes_from_any_moment(moments, seed):
    def engine():
        random = rng(seed)
        return ScriptedEngine(turns(*["wait"] * 9), delay_s=lambda _: random.uniform(0.2, 3.0))

    stage = Stage(engine(), tasks(2), agents={"fan": fan(4, "once")}, agent="fan")
    for moment in moments:
        stage.run(after(moment, stop))
        stage.engine = engine()
    stage.run()
    assert finals(stage) == {"t0#0": "012", "t1#0": "012"}
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) == len(set(map(str, once)))
    for name in ("t0#0", "t1#0"):
        numbers = [x.n for x in stage.of(r.ReplyReceived, name)] + [x.n for x in stage.of(r.ToolFinished, name)]
        assert len(numbers) == len(set(numbers)) == 24


def test_an_error_that_an_agent_caught_is_raised_again_on_resume():
    async def catcher(task, ctx):
        messages = ctx.prompt
        try:
            await ctx.complete(messages)
        except EngineRefused as error:
            messages.append({"role": "user", "content": str(error)})
        for _ in range(2):
            messages.append((await ctx.complete(messages)).message)
            await ctx.call("once", {"n": len(messages)})
        return "done"

    refused = []

    def outcome(request):
        if not refused:
            refused.append(request)
            return EngineRefused("too hot")
        return turns("wait", "wait", "wait")(request)

    stage = Stage(ScriptedEngine(outcome, delay_s=2.0), tasks(1), agents={"c": catcher}, agent="c").run(after(6.0, stop))
    stage.engine = ScriptedEngine(turns("wait", "wait", "wait"), delay_s=2.0)
    stage.run()
    assert finals(stage) == {"t0#0": "done"}
    assert len(stage.tools.ran) == 2
    assert len(stage.of(r.CallFailed)) == 1


@pytest.mark.parametrize("diverges_at", [0, 1, 3])
def test_what_was_done_before_an_agent_diverged_counts_in_its_row(diverges_at):
    said = "first"

    async def fickle(task, ctx):
        messages = ctx.prompt
        for step in range(6):
            messages.append({"role": "user", "content": said if step == diverges_at else f"{step}"})
            messages.append((await ctx.complete(messages)).message)
            messages.append((await ctx.call("wait", {"at": step})).message)
        return "done"

    stage = Stage(ScriptedEngine(turns(), delay_s=1.0), tasks(1), agent="fickle", agents={"fickle": fickle}).run(after(9.5, stop))
    said = "second"
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    replies, calls = stage.of(r.ReplyReceived), stage.of(r.ToolFinished)
    assert "did not repeat itself" in end.error.message
    assert (end.n_steps, len(replies), len(calls)) == (5, 5, 4)
    assert (end.finish_reason, end.model_s, end.tool_s) == ("stop", 5.0, 4.0)
    totals = fold(stage.records).totals
    assert (totals.steps, totals.prompt_tokens, totals.model_s) == (end.n_steps, end.prompt_tokens, end.model_s)
    row = result_row("t0#0", Trace(index=0, k=0), (x for x in stage.records if getattr(x, "rollout", None) == "t0#0"))
    assert sum(message["role"] == "assistant" for message in row.messages) == row.n_steps == 5


def test_how_long_a_resumed_rollout_waited_to_be_admitted_is_told_of_its_first_start():
    stage = Stage(fresh_engine(), tasks(2), controller="fixed:1").run(after(20.0, stop))  # the second one is at work
    stage.engine = fresh_engine()
    stage.run()
    first = {x.rollout: x.t for x in stage.of(r.RolloutStarted) if not x.resumed}
    taken_up = {x.rollout: x.t for x in stage.of(r.RolloutStarted) if x.resumed}
    assert {x.rollout: x.admission_s for x in stage.of(r.RolloutFinished)} == first
    assert taken_up["t1#0"] < first["t1#0"]
