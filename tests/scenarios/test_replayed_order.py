"""Agents that do several things at once are resumed from any moment: they make the same calls again, and nothing is lost or done twice."""

import asyncio

import pytest
from stage import Opened, Stage, Tools, after, finals, stop, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.plan import Retry
from concur_batch.task import Limits
from concur_batch.toolbox.base import ToolOutput


def user(text):
    return {"role": "user", "content": text}


async def talk(ctx, name, turns, rest_s=0.0):
    messages = [user(f"you are {name}")]
    for turn in range(turns):
        messages += [(await ctx.complete(messages)).message, user(f"go on {turn}")]
        if rest_s:
            await asyncio.sleep(rest_s)
    return f"{name}: {messages[-2]['content']}"


async def two(task, ctx):
    return " ".join(await asyncio.gather(talk(ctx, "slow", 3), talk(ctx, "quick", 6)))


async def two_that_rest(task, ctx):
    return " ".join(await asyncio.gather(talk(ctx, "slow", 3), talk(ctx, "quick", 6, rest_s=0.5)))


async def coordinated(task, ctx):
    """What it asks depends on who ends first."""
    log = [user("coordinate")]
    for done in asyncio.as_completed([talk(ctx, name, turns) for name, turns in (("slow", 2), ("quick", 3), ("other", 3))]):
        log.append(user(await done))
        log.append((await ctx.complete(log)).message)
    return " ".join(message["content"] for message in log)


async def two_of_which_one_sleeps(task, ctx):
    return " ".join(await asyncio.gather(talk(ctx, "slow", 3), talk(ctx, "quick", 3, rest_s=20.0)))


async def in_any_order(task, ctx):
    """As a set of tasks has it."""
    talks = [talk(ctx, name, 3) for name in ("slow", "quick", "other")]
    ctx.random.seed()
    ctx.random.shuffle(talks)
    return " ".join(sorted(await asyncio.gather(*talks)))


async def nested(task, ctx):
    async def team(name, turns):
        found = await asyncio.gather(talk(ctx, f"slow {name}", turns), talk(ctx, f"quick {name}", turns))
        return (await ctx.complete([user(" and ".join(found))])).message["content"]

    async with asyncio.TaskGroup() as group:
        teams = [group.create_task(team(name, turns)) for name, turns in (("a", 2), ("b", 3))]
    return (await ctx.complete([user(", ".join(team.result() for team in teams))])).message["content"]


async def with_tools(task, ctx):
    async def sub(name, tool, turns):
        messages = [user(f"you are {name}")]
        for turn in range(turns):
            messages.append((await ctx.complete(messages)).message)
            messages.append((await ctx.call(tool, {"by": name, "turn": turn})).message)
        return name

    return " ".join(await asyncio.gather(sub("slow", "look", 3), sub("quick", "look", 3), sub("other", "look", 2)))


async def tools_and_rests(task, ctx):
    async def sub(name, *rests_s):
        for turn, rest_s in enumerate(rests_s):
            await asyncio.sleep(rest_s)
            await ctx.call("look", {"by": name, "turn": turn})

    messages = ctx.prompt
    messages.append((await ctx.complete(messages)).message)
    await asyncio.gather(sub("slow", 0.5, 2.0, 0.1), sub("quick", 0.0, 0.2, 0.3))
    return (await ctx.complete(messages)).message["content"]


async def first_tool_wins(task, ctx):
    messages = ctx.prompt
    for turn in range(3):
        messages.append((await ctx.complete(messages)).message)
        for seen in asyncio.as_completed([ctx.call("look", {"turn": turn, "s": s}) for s in (0.9, 0.3, 0.6)]):
            messages.append((await seen).message)
    return messages[-1]["content"]


async def all_that_end_at_once(task, ctx):
    log = [user("coordinate")]
    for turn in range(4):
        calls = [asyncio.ensure_future(ctx.call("look", {"turn": turn, "by": by, "s": 0.5})) for by in "ab"]
        done, others = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        log.append(user(f"{len(done)} have ended"))
        log.append((await ctx.complete(log)).message)
    return " ".join(message["content"] for message in log)


async def two_with_time_outs(task, ctx):
    async def sub(name, *seconds):
        messages = [user(f"you are {name}")]
        for turn, s in enumerate(seconds):
            try:
                messages.append((await asyncio.wait_for(ctx.call("look", {"by": name, "turn": turn, "s": s}), 0.8)).message)
            except TimeoutError:
                messages.append(user("it took too long"))
            messages.append((await ctx.complete(messages)).message)
        return messages[-1]["content"]

    return " ".join(await asyncio.gather(sub("quick", *[0.5, 0.6] * 4), sub("slow", 3.0, 0.5, 3.0)))


SECONDS = {"slow": 2.3, "quick": 0.7, "other": 1.1, "coordinate": 0.5}


def engine():
    """The same answer to the same question, after a while that depends on who asks."""

    def seconds(request):
        return next((s for word, s in SECONDS.items() if word in request.messages[0]["content"]), 0.9)

    return ScriptedEngine(lambda request: reply(f"to {sum(map(len, map(str, request.messages)))}"), delay_s=seconds)


class Paced(Tools):
    """Its calls take as long as their argument `s` says."""

    def open(self, rollout, seed, attempt=1):
        return OpenedPaced(self, rollout)


class OpenedPaced(Opened):
    async def call(self, name, arguments):
        self.tools.ran.append((self.rollout, name, arguments))
        await asyncio.sleep(arguments.get("s", 1.0))
        return ToolOutput(content=f"{name} saw {arguments}")


def stage_of(agent):
    return Stage(engine(), tasks(1), agents={"a": agent}, agent="a", tools=Paced())


MOMENTS = [(0.2 + 0.37 * i,) for i in range(20)] + [(30.0,), (20.0, 21.0), (1.5, 2.5), (2.5, 0.1, 1.9), (0.8, 0.8, 0.8, 0.8)]


@pytest.mark.parametrize("moments", MOMENTS, ids=str)
@pytest.mark.parametrize(
    "agent",
    [
        two,
        two_that_rest,
        two_of_which_one_sleeps,
        in_any_order,
        coordinated,
        nested,
        with_tools,
        tools_and_rests,
        first_tool_wins,
        all_that_end_at_once,
        two_with_time_outs,
    ],
)
def test_it_ends_as_if_it_had_never_been_stopped(agent, moments):
    whole = stage_of(agent).run()
    stage = stage_of(agent)
    for moment in moments:
        stage.run(after(moment, stop))
        stage.engine = engine()
    stage.run()
    assert finals(stage) == finals(whole)
    assert sorted(x.hash for x in stage.of(r.ReplyReceived)) == sorted(x.hash for x in whole.of(r.ReplyReceived))
    (end,) = stage.of(r.RolloutFinished)
    assert end.status == "completed"
    assert end.n_steps == len(whole.of(r.ReplyReceived))


async def impatient(task, ctx):
    messages = ctx.prompt
    for turn in range(3):
        messages.append((await ctx.complete(messages)).message)
        try:
            seen = await asyncio.wait_for(ctx.call("once", {"turn": turn}), 0.2 if turn != 1 else 5.0)
            messages.append(seen.message)
        except TimeoutError:
            messages.append(user("it took too long"))
    return " / ".join(message["content"] for message in messages if message["role"] == "user")


@pytest.mark.parametrize("moment", [0.5, 1.2, 1.5, 3.2, 3.5, 4.5])
def test_a_call_that_the_agent_gave_up_is_given_up_again(moment):
    whole = stage_of(impatient).run()
    stage = stage_of(impatient).run(after(moment, stop))
    stage.engine = engine()
    stage.run()
    (end,), (of_whole,) = stage.of(r.RolloutFinished), whole.of(r.RolloutFinished)
    assert end.status == "completed"
    ran = [arguments["turn"] for _, _, arguments in stage.tools.ran]
    assert ran == sorted(set(ran)) == [0, 1, 2]
    assert end.output == of_whole.output


def test_a_call_that_was_given_up_counts_once():
    stage = stage_of(impatient).run()
    (end,) = stage.of(r.RolloutFinished)
    assert [x.error_class for x in stage.of(r.ToolFinished)] == ["given_up", None, "given_up"]
    assert end.tool_s == pytest.approx(0.2 + 1.0 + 0.2)
    assert end.cut_off is None


def test_one_that_is_no_longer_given_up_counts_as_interrupted():
    patience = 0.2

    async def patient(task, ctx):
        messages = ctx.prompt
        messages.append((await ctx.complete(messages)).message)
        try:
            return (await asyncio.wait_for(ctx.call("once", {}), patience)).content
        except TimeoutError:
            return (await ctx.complete(messages)).message["content"]

    stage = stage_of(patient).run(after(1.5, stop))
    patience = 60
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert end.output.startswith("[interrupted: ")
    assert len(stage.tools.ran) == 1


async def in_phases(task, ctx):
    """A time-out around many calls."""
    for phase in range(2):
        try:
            async with asyncio.timeout(20.0):
                for turn in range(10):
                    await ctx.complete([user(f"quick {phase} {turn}")])
                    await ctx.call("once", {"phase": phase, "turn": turn, "s": 6.0})
        except TimeoutError:
            await ctx.complete([user(f"slow: that was phase {phase}")])
    return "done"


@pytest.mark.parametrize("timeout_s", [None, 50.0])
def test_a_call_that_was_given_up_waits_as_long_as_that_takes_and_this_is_not_counted_again(timeout_s):
    stage = stage_of(in_phases)
    stage.limits = Limits(timeout_s=timeout_s)
    stage.run(after(21.0, stop))
    stage.engine = engine()
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output) == ("completed", "done")
    assert len(stage.tools.ran) == 6


async def steady(task, ctx):
    messages = ctx.prompt
    for _ in range(100):
        messages.append((await ctx.complete(messages)).message)


async def bounded(task, ctx):
    """A time-out around two model calls and a tool call."""
    try:
        async with asyncio.timeout(50.0):
            for turn in range(2):
                await ctx.complete([user(f"{turn}")])
            said = (await ctx.call("once", {"s": 60.0})).content
    except TimeoutError:
        said = "it took too long"
    return (await ctx.complete([user("other"), user(said)])).message["content"]


def test_a_call_that_was_given_up_waits_also_as_long_as_its_agent_was_paused_then():
    async def meanwhile(stage):
        for seconds, factor in ((0.5, -24), (45.0, 24)):  # the younger has a pause of 44 seconds
            await asyncio.sleep(seconds)
            stage.runner.steer(stage.runner.steering.nudged(factor))
        await asyncio.sleep(5.0)
        stop(stage)

    stage = stage_of(bounded)
    stage.job = [*tasks(1, agent="steady"), *tasks(2)[1:]]
    stage.agents["steady"], stage.controller = steady, "fixed:2"
    stage.run(meanwhile)
    stage.engine = engine()
    stage.run()
    (given_up,) = stage.of(r.ToolFinished)
    assert (given_up.t, given_up.error_class) == (50.0, "given_up")
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}


def test_calls_that_are_not_made_any_more_are_waited_for_a_little_while_in_all():
    at = "first"

    async def two_of_which_one_wanders(task, ctx):
        async def wander():
            messages = [user("slow")]
            for turn in range(30):
                messages += [(await ctx.complete(messages)).message, user(f"{turn} {at}")]

        await asyncio.gather(wander(), talk(ctx, "quick", 100))
        return "done"

    stage = stage_of(two_of_which_one_wanders).run(after(60.0, stop))
    at = "second"
    stage.engine = engine()
    stage.run()
    assert finals(stage) == {"t0#0": "done"}
    assert stage.records[-1].t < 30 * 2.3 + 20


def test_a_loser_of_a_race_loses_again():
    async def racing(task, ctx):
        messages = ctx.prompt
        for turn in range(4):
            calls = [asyncio.ensure_future(ctx.call(name, {"turn": turn})) for name in ("once", "look")]
            said = asyncio.ensure_future(ctx.complete([user(f"quick {turn}")]))
            await asyncio.wait([*calls, said], return_when=asyncio.FIRST_COMPLETED)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            messages.append((await said).message)
        return "done"

    stage = stage_of(racing).run(after(2.4, stop))
    stage.engine = engine()
    stage.run()
    assert finals(stage) == {"t0#0": "done"}
    assert len(stage.of(r.ReplyReceived)) == 4
    assert [name for _, name, arguments in stage.tools.ran if arguments["turn"] < 3] == ["once", "look"] * 3


def test_one_that_calls_tools_at_once_and_does_not_repeat_itself_is_told_so():
    said = "first"

    async def fickle(task, ctx):
        messages = ctx.prompt
        for turn in range(4):
            messages.append(user(said if turn == 2 else f"{turn}"))
            messages.append((await ctx.complete(messages)).message)
            seen = await asyncio.gather(*(ctx.call("look", {"turn": turn, "i": i}) for i in range(2)))
            messages += [one.message for one in seen]
        return "done"

    stage = stage_of(fickle).run(after(6.5, stop))
    said = "second"
    stage.engine = engine()
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.error.error_class) == ("error", "agent")
    assert "did not repeat itself" in end.error.message
    assert stage.engine.requests == []
    stage.retry = Retry(classes={"agent"})
    stage.run()
    assert finals(stage) == {"t0#0": "done"}


def test_one_with_several_conversations_that_does_not_repeat_itself_is_logged(caplog):
    said = "first"

    async def fickle(task, ctx):
        return " ".join(await asyncio.gather(talk(ctx, "slow", 3), talk(ctx, f"quick {said}", 4)))

    stage = stage_of(fickle).run(after(3.0, stop))
    said = "second"
    stage.engine = engine()
    with caplog.at_level("WARNING"):
        stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.n_steps) == ("completed", 3 + 4 + 4)
    assert "t0#0: its agent did not repeat itself on resume: it ended without 4 of the calls" in caplog.text
