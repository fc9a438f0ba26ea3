"""Agents that cancel what they should not, and agents that will not be cancelled."""

import asyncio

import pytest
from stage import Opened, Stage, after, fan, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import LimitReached
from concur_batch.task import Limits


def test_an_agent_that_cancels_itself_has_a_terminal_record():
    async def gone(task, ctx):
        raise asyncio.CancelledError

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"gone": gone}, agent="gone").run()
    assert stage.of(r.RolloutFinished)[0].status == "cancelled"


CUT = asyncio.CancelledError()


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([CUT], "cancelled"),
        ([CUT, ValueError("odd")], "error"),
        ([CUT, BaseExceptionGroup("inner", [LimitReached("max_steps")])], "max_steps"),
    ],
)
def test_a_cancelled_branch_among_others_that_failed_is_no_stop(failures, status):
    async def collecting(task, ctx):
        raise BaseExceptionGroup("branches", failures)

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"c": collecting}, agent="c").run()
    assert stage.complete
    assert [x.status for x in stage.of(r.RolloutFinished)] == [status]


def test_branches_that_were_cancelled_since_the_time_was_over_are_a_timeout():
    async def collecting(task, ctx):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError as late:
            raise BaseExceptionGroup("branches", [late]) from None

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"c": collecting}, agent="c", limits=Limits(timeout_s=5.0)).run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["timeout"]


async def cancels_its_task(task, ctx):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


async def cancels_it_as_it_returns(task, ctx):
    asyncio.current_task().cancel()
    asyncio.current_task().cancel()
    return "done"


async def swallows_that(task, ctx):
    try:
        await cancels_its_task(task, ctx)
    except asyncio.CancelledError:
        await asyncio.sleep(100)


async def cancels_it_in_a_group(task, ctx):
    try:
        await cancels_its_task(task, ctx)
    except asyncio.CancelledError as cut:
        raise BaseExceptionGroup("branches", [cut]) from None


async def leaves_a_watchdog(task, ctx):
    asyncio.get_running_loop().call_later(0.5, asyncio.current_task().cancel)
    return "done"


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        (cancels_its_task, "cancelled"),
        (cancels_it_as_it_returns, "completed"),
        (swallows_that, "timeout"),
        (cancels_it_in_a_group, "cancelled"),
        (leaves_a_watchdog, "completed"),
    ],
)
def test_an_agent_that_cancels_the_task_it_runs_in_ends_itself_alone(agent, status, monkeypatch):
    closed = []

    async def aclose(self):
        await asyncio.sleep(1)
        closed.append(self.rollout)

    monkeypatch.setattr(Opened, "aclose", aclose)
    agents = {"a": agent, "well": fan(3, "look")}
    stage = Stage(ScriptedEngine(turns(), delay_s=3.0), [], agents=agents, limits=Limits(timeout_s=30.0))
    stage.job = [*tasks(1, agent="a"), *(task for task in tasks(2, agent="well") if task.index)]
    stage.run()
    assert stage.complete
    assert {x.rollout: x.status for x in stage.of(r.RolloutFinished)} == {"t0#0": status, "t1#0": "completed"}
    assert ("t0#0" in closed) is (agent is not leaves_a_watchdog)


def test_a_limit_cannot_be_swallowed_by_an_agent():
    async def stubborn(task, ctx):
        messages = ctx.prompt
        while True:
            try:
                messages.append((await ctx.complete(messages)).message)
            except Exception:
                continue

    stage = Stage(ScriptedEngine(turns(*["wait"] * 9)), tasks(1), agents={"s": stubborn}, agent="s", limits=Limits(max_steps=3))
    assert stage.run().of(r.RolloutFinished)[0].status == "max_steps"


@pytest.mark.parametrize(("limits", "status"), [(Limits(max_steps=3), "max_steps"), (Limits(timeout_s=20), "timeout")])
def test_nor_by_one_that_catches_everything(limits, status):
    """It would go round without ever waiting, and the event loop with it."""

    async def stubborn(task, ctx):
        messages = ctx.prompt
        while True:
            try:
                messages.append((await ctx.complete(messages)).message)
            except:  # noqa: E722
                continue

    async def well_behaved(task, ctx):
        await ctx.complete(ctx.prompt)

    agents = {"stubborn": stubborn, "well": well_behaved}
    stage = Stage(ScriptedEngine(turns(*["wait"] * 99), delay_s=3.0), [], agents=agents, limits=limits)
    stage.job = [*tasks(2, agent="stubborn"), *tasks(4, agent="well")[2:]]
    stage.run()
    assert stage.complete
    assert [x.status for x in sorted(stage.of(r.RolloutFinished), key=lambda x: x.rollout)] == [status] * 2 + ["completed"] * 2


async def sleeps(task, ctx):
    while True:
        try:
            await asyncio.sleep(3600)
        except:  # noqa: E722
            continue


async def calls(task, ctx):
    while True:
        try:
            await ctx.call("look", {"at": task.id})
        except:  # noqa: E722
            continue


async def ends(task, ctx):
    return "done"


@pytest.mark.parametrize("agent", [sleeps, calls])
def test_one_that_swallows_the_end_of_its_time_is_left(agent, caplog):
    limits = Limits(timeout_s=7.0)
    stage = Stage(ScriptedEngine(turns()), tasks(3), agents={"a": agent}, agent="a", max_agents=2, limits=limits).run()
    assert stage.complete
    ends = stage.of(r.RolloutFinished)
    assert [x.status for x in ends] == ["timeout"] * 3
    assert all(7.0 < x.wall_s <= 17.0 for x in ends)
    assert stage.tools.running == 0
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in told] == ["rollout t0#0", "rollout t1#0", "rollout t2#0"]


@pytest.mark.parametrize("agent", [sleeps, calls])
def test_one_that_swallows_a_stop_is_left_and_resumes(agent, caplog):
    stage = Stage(ScriptedEngine(turns()), tasks(2), agents={"a": agent}, agent="a").run(after(3.0, stop))
    assert stage.complete is False
    assert stage.of(r.RolloutFinished) == []
    assert {record.getMessage().split(":")[0] for record in caplog.records} == {"rollout t0#0", "rollout t1#0"}
    stage.agents = {"a": ends}
    assert [x.status for x in stage.run().of(r.RolloutFinished)] == ["completed"] * 2


def test_one_that_cleans_up_in_time_is_not_left(caplog):
    async def tidy(task, ctx):
        try:
            await asyncio.sleep(3600)
        finally:
            await ctx.call("look", {"at": "the end"})

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"t": tidy}, agent="t", limits=Limits(timeout_s=7.0)).run()
    assert [(x.status, x.wall_s) for x in stage.of(r.RolloutFinished)] == [("timeout", 8.0)]
    assert len(stage.of(r.ToolFinished)) == 1
    assert caplog.records == []


def test_one_that_gives_up_waiting_itself_is_not_left():
    async def patient(task, ctx):
        for _ in range(3):
            try:
                async with asyncio.timeout(2):
                    await asyncio.sleep(3600)
            except TimeoutError:
                await asyncio.sleep(8)
        return "done"

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"p": patient}, agent="p", limits=Limits(timeout_s=60.0)).run()
    assert [(x.status, x.wall_s) for x in stage.of(r.RolloutFinished)] == [("completed", 30.0)]


async def in_one_call(ctx):
    await ctx.call("wait", {})


async def in_two_calls(ctx):
    await ctx.call_all([{"id": str(i), "function": {"name": "wait", "arguments": {}}} for i in range(2)])


@pytest.mark.parametrize(("tool_s", "cleaned"), [(4.5, True), (5.0, True), (5.5, False)])
@pytest.mark.parametrize("calls", [in_one_call, in_two_calls])
def test_its_time_to_clean_up_begins_once_its_calls_have_ended(calls, tool_s, cleaned, monkeypatch):
    done = []

    async def call(self, name, arguments):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(tool_s)
            raise

    async def tidy(task, ctx):
        try:
            await ctx.complete(ctx.prompt)
            await calls(ctx)
        finally:
            await asyncio.sleep(4.75)
            done.append(True)

    monkeypatch.setattr(Opened, "call", call)
    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"t": tidy}, agent="t", limits=Limits(timeout_s=7.0)).run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["timeout"]
    assert bool(done) is cleaned


def test_one_that_takes_too_long_to_clean_up_may_still_give_back_what_it_has():
    released = []

    async def slow(task, ctx):
        try:
            await asyncio.sleep(3600)
        finally:
            try:
                await asyncio.sleep(8)
            finally:
                released.append(task.id)
                await asyncio.sleep(1)
                released.append("what it has to wait for")

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"s": slow}, agent="s", limits=Limits(timeout_s=7.0)).run()
    assert [(x.status, x.wall_s) for x in stage.of(r.RolloutFinished)] == [("timeout", 12.0)]
    assert released == ["t0"]
