"""A drain finds everybody at the next boundary: it cuts nobody off in the middle of a step, and waits for nobody who does nothing."""

import asyncio

import pytest
from stage import Stage, after, drain, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineBusy, EngineFailed
from concur_batch.state import fold
from concur_batch.task import Limits


def drain_after(seconds):
    async def meanwhile(stage):
        await asyncio.sleep(seconds)
        stage.runner.drain("SIGINT")

    return meanwhile


def ended_at(stage):
    """When the run stopped deciding, to the second."""
    return max(x.t for x in stage.records)


def test_pauses_that_it_cuts_off_stay_counted():
    stage = Stage(ScriptedEngine(turns("once"), delay_s=2.0), tasks(3)).run(drain_after(1.0))
    end = stage.records[-1].t + 40.0  # something else took so long to end
    stage.records.append(r.SegmentFinished(t=end, cause="drained"))
    paused = sum(end - x.t for x in stage.of(r.RolloutPaused))
    assert paused > 3 * 39
    assert fold(stage.records).totals.paused_s == pytest.approx(paused)
    stage.run()
    ends = stage.of(r.RolloutFinished)
    assert sum(x.paused_s for x in ends) == pytest.approx(paused, abs=1e-4)
    assert fold(stage.records).totals.paused_s == pytest.approx(paused, abs=1e-4)
    assert all(x.model_s + x.tool_s + x.paused_s <= x.wall_s for x in ends)


@pytest.mark.parametrize("error", [EngineBusy("later", 600.0), EngineFailed("no reply")])
def test_it_does_not_wait_for_the_next_attempt_of_a_call(error):
    refused = ScriptedEngine(lambda request: error, delay_s=0.2)
    stage = Stage(refused, tasks(4), limits=Limits(timeout_s=1000)).run(drain_after(0.3))
    assert not stage.complete
    assert ended_at(stage) < 3
    assert len(stage.engine.requests) == 4
    assert stage.of(r.RolloutFinished) == []
    stage.engine = ScriptedEngine(turns("once"))
    assert stage.run().complete
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}


def test_nor_for_calls_that_queue_to_be_made():
    engine = ScriptedEngine(turns("once", "once"), delay_s=10.0)
    stage = Stage(engine, tasks(40), controller="requests:2").run(drain_after(15.0))
    assert not stage.complete
    assert ended_at(stage) < 22
    assert len(stage.of(r.ReplyReceived)) == len(engine.requests) == 4
    assert engine.cancelled == []
    stage.engine = ScriptedEngine(turns("once", "once"))
    assert stage.run().complete
    assert len(stage.of(r.ReplyReceived)) == 40 * 3


def test_one_call_at_a_boundary_ends_no_other_of_the_same_agent():
    """One branch pauses while the other is in a tool that must not run twice, or in a model call."""

    async def fan(task, ctx):
        async def branch(name, steps):
            messages = [{"role": "user", "content": name}]
            for step in range(steps):
                messages.append((await ctx.complete(messages)).message)
                messages.append((await ctx.call("once", {"at": [task.id, name, step]})).message)
            return name

        return "".join(await asyncio.gather(branch("quick", 6), branch("slow", 6)))

    def engine():
        return ScriptedEngine(turns(*["wait"] * 9), delay_s=lambda x: 0.5 if x.messages[0]["content"] == "quick" else 4.0)

    for moment in (0.7, 2.0, 4.5, 6.0, 7.3):
        stage = Stage(engine(), tasks(2), agents={"fan": fan}, agent="fan").run(drain_after(moment))
        assert not stage.complete
        assert stage.engine.cancelled == []
        assert len(stage.of(r.ToolStarted)) == len(stage.of(r.ToolFinished))
        stage.engine = engine()
        assert stage.run().complete
        assert {x.output for x in stage.of(r.RolloutFinished)} == {"quickslow"}
        assert {x.error_class for x in stage.of(r.ToolFinished)} == {None}


def test_the_wait_for_others_is_not_the_time_of_whoever_it_found():
    def outcome(request):
        return turns()(request) if request.rollout == "t0#0" else EngineFailed("no")

    engine = ScriptedEngine(outcome, delay_s=lambda x: 90.0 if x.rollout == "t0#0" else 0.1)
    job = [*tasks(1, limits=Limits(timeout_s=1000)), *tasks(3)[1:]]
    stage = Stage(engine, job, limits=Limits(timeout_s=30)).run(drain_after(0.3))
    assert not stage.complete
    assert {x.rollout: x.status for x in stage.of(r.RolloutFinished)} == {"t0#0": "completed"}


class Hanging(ScriptedEngine):
    """Answers no question about itself."""

    async def stats(self):
        await asyncio.sleep(1e6)


@pytest.mark.parametrize(("end", "until"), [(stop, 3.0), (drain, 4.0)])
def test_only_a_drain_waits_for_the_last_reading_of_an_engine_that_hangs(end, until):
    stage = Stage(Hanging(turns("once"), delay_s=2.0), tasks(3), sample_rest=True).run(after(3.0, end))
    (last,) = stage.of(r.Sampled)
    assert last.t == pytest.approx(until, abs=0.2)
    assert last.steps == len(stage.of(r.ReplyReceived))
