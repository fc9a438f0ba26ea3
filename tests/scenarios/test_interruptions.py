"""Drains, stops, kills, lost engines: what was done stays done, and nothing runs twice that must not."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, rng, tasks, turns

from concur_batch import records as r
from concur_batch.agent.context import INTERRUPTED
from concur_batch.agent.replay import History
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineDown, EngineRefused
from concur_batch.plan import Retry
from concur_batch.presence import EngineGone
from concur_batch.results.transcript import Transcript
from concur_batch.task import Limits


def after(seconds, action):
    async def meanwhile(stage):
        await asyncio.sleep(seconds)
        action(stage)

    return meanwhile


def drain(stage):
    stage.runner.drain("SIGINT")


def stop(stage):
    stage.runner.stop()


def fresh_engine(**more):
    return ScriptedEngine(turns("once", ("once", "look"), "once"), delay_s=2.0, **more)


def finals(stage):
    return {x.rollout: x.output for x in stage.of(r.RolloutFinished)}


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


@settings(max_examples=30, deadline=None)
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


class Flaky(ScriptedEngine):
    """Down between two moments: calls under way break, new ones find nobody."""

    def __init__(self, script, since, until, **more):
        super().__init__(script, **more)
        self.since, self.until = since, until

    def away(self):
        return self.since <= asyncio.get_running_loop().time() < self.until

    async def ready(self):
        return not self.away()

    async def stats(self):
        if self.away():
            raise EngineDown("refused")
        return await super().stats()

    async def complete(self, request):
        if self.away():
            self.requests.append(request)
            raise EngineDown("refused")
        started = asyncio.get_running_loop().time()
        answer = await super().complete(request)
        if started < self.since <= asyncio.get_running_loop().time():
            raise EngineDown("broke off")
        return answer


def test_a_lost_engine_is_waited_for_and_nobody_fails():
    engine = Flaky(turns("once", "once"), since=3.0, until=90.0, delay_s=2.0)
    stage = Stage(engine, tasks(4)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    (lost,), (back,) = stage.of(r.EngineLost), stage.of(r.EngineReturned)
    assert 3.0 <= lost.t < 5.5
    assert 90.0 <= back.t < 92.0
    resumed = [x for x in stage.of(r.ReplyReceived) if x.t > 90 and x.step == 2]
    assert all(x.after_pause and x.wait_s > 80 for x in resumed)
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) == len(set(once)) == 8


def test_waiting_for_the_engine_is_not_the_rollouts_time():
    engine = Flaky(turns("once", "once"), since=3.0, until=90.0, delay_s=2.0)
    stage = Stage(engine, tasks(1), limits=Limits(timeout_s=30)).run()
    assert stage.of(r.RolloutFinished)[0].status == "completed"


def test_an_engine_that_stays_away_ends_the_run_resumable():
    engine = Flaky(turns("once", "once"), since=3.0, until=1e9, delay_s=2.0)
    stage = Stage(engine, tasks(4), wait_s=60)
    with pytest.raises(EngineGone, match="did not return within 60 s"):
        stage.run()
    assert stage.of(r.RolloutFinished) == []
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0)
    stage.run()
    assert len(finals(stage)) == 4


def test_a_drain_while_the_engine_is_away_ends_at_once():
    engine = Flaky(turns("once", "once"), since=3.0, until=1e9, delay_s=2.0)
    stage = Stage(engine, tasks(4)).run(after(20.0, drain))
    assert stage.complete is False


def test_an_engine_that_hangs_is_noticed_and_its_calls_go_on():
    class Stopped(Flaky):
        async def complete(self, request):
            answer = await ScriptedEngine.complete(self, request)
            while self.away():
                await asyncio.sleep(0.5)
            return answer

        async def stats(self):
            while self.away():
                await asyncio.sleep(0.5)
            return await ScriptedEngine.stats(self)

    stage = Stage(Stopped(turns("once", "once"), since=3.0, until=60.0, delay_s=2.0), tasks(3)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    assert len(stage.of(r.EngineLost)) == len(stage.of(r.EngineReturned)) == 1
    assert len(stage.engine.requests) == 9


def test_dropped_connections_with_a_ready_engine_are_tried_again_and_then_an_error():
    stage = Stage(ScriptedEngine(lambda request: EngineDown("reset")), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.error.error_class, end.error.retryable) == ("error", "engine_down", True)
    assert len(stage.engine.requests) == 4


def test_connections_that_drop_for_a_moment_fail_nobody():
    """The server says that it is ready all the while, so no watch would be waited for."""

    def outcome(request):
        early = asyncio.get_running_loop().time() - begun < 1.0
        return EngineDown("reset") if early else turns("once")(request)

    begun = 0.0
    stage = Stage(ScriptedEngine(outcome), tasks(50)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    assert stage.of(r.EngineLost) == []
    assert len(stage.engine.requests) < 50 * 2 + 50 * 6
    assert all(x.wait_s > 0 for x in stage.of(r.ReplyReceived) if x.retries)


@pytest.mark.parametrize("end", [drain, stop])
def test_waiting_for_the_engine_is_not_the_rollouts_time_after_a_resume_either(end):
    engine = Flaky(turns("once", "once"), since=3.0, until=90.0, delay_s=2.0)
    stage = Stage(engine, tasks(1), limits=Limits(timeout_s=30)).run(after(92.5, end))
    assert stage.complete is False
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0)
    stage.run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["completed"]


def test_what_a_rollout_used_of_its_time_counts_over_a_resume():
    """Pauses and absence may overlap; each second is left out once."""
    history = History()
    story = [
        r.SegmentStarted(t=0, epoch=0, host="h", pid=1, version="1"),
        r.RolloutStarted(t=10, rollout="a#0", engine="e", task="a", k=0, index=0, seed=0),
        r.EngineLost(t=20, engine="other", message=""),
        r.EngineLost(t=30, engine="e", message=""),
        r.RolloutReturned(t=50, rollout="a#0", engine="e", step=1, paused_s=30),
        r.EngineReturned(t=60, engine="e", away_s=30),
        r.EngineReturned(t=70, engine="other", away_s=50),
        r.ToolStarted(t=80, rollout="a#0", step=1, n=1, tool="look", hash="h"),
    ]
    for record in story:
        history.apply(record)
    history.close()
    assert history.unfinished["a#0"].used_s == (80 - 10) - (60 - 20)


def test_a_journal_that_breaks_stops_the_run():
    from concur_batch.errors import RunDirectoryError

    class Full(list):
        def append(self, record):
            if len(self) > 20:
                raise RunDirectoryError("full")
            super().append(record)

    stage = Stage(fresh_engine(), tasks(5))
    stage.records = Full()
    original = stage._run

    async def keep(meanwhile):
        stage.records = Full(stage.records)
        return await original(meanwhile)

    stage._run = keep
    with pytest.raises(RunDirectoryError, match="full"):
        stage.run()


def test_a_journal_that_breaks_under_the_watch_stops_the_run_too():
    """The watch on a lost engine writes records of its own."""
    from concur_batch.errors import RunDirectoryError

    class NoLoss(list):
        def append(self, record):
            if isinstance(record, r.EngineLost):
                raise RunDirectoryError("full")
            super().append(record)

    stage = Stage(Flaky(turns("once", "once"), since=3.0, until=1e9, delay_s=2.0), tasks(2))
    original = stage._run

    async def keep(meanwhile):
        stage.records = NoLoss(stage.records)
        return await original(meanwhile)

    stage._run = keep
    with pytest.raises(RunDirectoryError, match="full"):
        stage.run()


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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 9.0), min_size=1, max_size=4), st.integers(0, 1000))
def test_an_agent_with_several_calls_at_once_resumes_from_any_moment(moments, seed):
    async def fan(task, ctx):
        async def branch(i):
            messages = [{"role": "user", "content": f"branch {i}"}]
            for step in range(4):
                messages.append((await ctx.complete(messages)).message)
                messages.append((await ctx.call("once", {"at": [task.id, i, step]})).message)
            return f"{i}"

        return "".join(await asyncio.gather(*(branch(i) for i in range(3))))

    def engine():
        random = rng(seed)
        return ScriptedEngine(turns(*["wait"] * 9), delay_s=lambda _: random.uniform(0.2, 3.0))

    stage = Stage(engine(), tasks(2), agents={"fan": fan}, agent="fan")
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


def told(stage, rollout):
    """The conversation as the results tell it, whole."""
    transcript = Transcript(stage.of(r.RolloutStarted, rollout)[0].messages)
    for record in stage.records:
        if isinstance(record, r.ReplyReceived) and record.rollout == rollout:
            transcript.reply(record)
        elif isinstance(record, r.ToolFinished) and record.rollout == rollout:
            transcript.observe(record)
    (end,) = stage.of(r.RolloutFinished, rollout)
    assert transcript.is_whole(end.n_steps)
    return transcript.messages


def take_a_line_out(stage, rollout, which):
    """One of its calls' lines, as one moves a damaged one out of the file, unless it has ended. Returns it, if any."""
    if stage.of(r.RolloutFinished, rollout):
        return None
    lines = [x for x in stage.records if isinstance(x, r.ReplyReceived | r.ToolStarted | r.ToolFinished) and x.rollout == rollout]
    if not lines:
        return None
    stage.records.remove(lines[which % len(lines)])
    return lines[which % len(lines)]


STOPS = st.lists(st.floats(0.1, 14.0), min_size=1, max_size=3)


@settings(max_examples=40, deadline=None)
@given(STOPS, st.integers(0, 30), STOPS)
def test_what_followed_from_a_lost_line_is_made_again(before, which, later):
    """And from then on as if it had been made once; no tool runs twice that must not, unless its own line is the lost one."""
    stage = Stage(fresh_engine(), tasks(2))
    for moment in before:
        stage.run(after(moment, stop))
        stage.engine = fresh_engine()
    lost = take_a_line_out(stage, "t0#0", which)
    for moment in later:
        stage.run(after(moment, stop))
        stage.engine = fresh_engine()
    stage.run()
    assert finals(stage) == {"t0#0": "answer of t0#0", "t1#0": "answer of t1#0"}
    roles = ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert [m["role"] for m in told(stage, "t0#0")] == [m["role"] for m in told(stage, "t1#0")] == roles
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) - len(set(once)) <= isinstance(lost, r.ToolStarted)


@settings(max_examples=40, deadline=None)
@given(STOPS, st.integers(0, 60))
def test_a_lost_line_of_one_of_several_conversations_leaves_the_others(moments, which):
    async def fan(task, ctx):
        async def branch(i):
            messages = [{"role": "user", "content": f"branch {i}"}]
            for step in range(3):
                messages.append((await ctx.complete(messages)).message)
                messages.append((await ctx.call("look", {"at": [i, step]})).message)
            return f"{i}"

        return "".join(await asyncio.gather(*(branch(i) for i in range(3))))

    def engine():
        return ScriptedEngine(turns(*["wait"] * 9), delay_s=lambda request: 1.0 + 0.3 * len(str(request.messages)) % 1.7)

    stage = Stage(engine(), tasks(1), agents={"fan": fan}, agent="fan")
    for moment in moments:
        stage.run(after(moment, stop))
        stage.engine = engine()
    lost = take_a_line_out(stage, "t0#0", which)
    there = {x.n for x in stage.of(r.ReplyReceived, "t0#0")}
    stage.run()
    assert finals(stage) == {"t0#0": "012"}
    assert told(stage, "t0#0")[0]["content"].startswith("branch")
    again = len(stage.engine.requests) + len(there) - 9
    assert again <= (3 if lost is not None else 0)


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
