"""Engines that go away and come back: everybody waits, and nobody's time runs."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs
from stage import Flaky, Stage, after, drain, finals, stop, tasks, turns

from concur_batch import records as r
from concur_batch.agent.replay import History
from concur_batch.engine.base import Capabilities, EngineStats
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineBusy, EngineDown, RunDirectoryError
from concur_batch.presence import EngineGone
from concur_batch.results.summary import summarise
from concur_batch.state import fold
from concur_batch.task import Limits


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


def test_whose_turn_comes_while_the_engine_is_away_waits_too():
    engine = Flaky(turns("once", "once"), since=3.0, until=90.0, delay_s=2.0)
    stage = Stage(engine, tasks(4), controller="requests:1", limits=Limits(timeout_s=60)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    replies = stage.of(r.ReplyReceived)
    assert len(engine.requests) == len(replies) + 1  # only the one that broke off was sent again
    assert all(x.wait_s + x.model_s + x.retry_s <= x.t for x in replies)
    assert [x.rollout for x in replies][:4] == [f"t{i}#0" for i in range(4)]


class Slower(Flaky):
    """Ten times as fast as real time, and from its return on no faster."""

    async def probe(self):
        self.capabilities = replace(self.capabilities, speed=1.0)
        return self.capabilities


@pytest.mark.parametrize("controller", ["aimd", "turnover"])
def test_a_simulated_engine_may_return_with_another_speed(controller):
    """Its clock goes on: else a controller would wait until it is as late as it was."""
    can = Capabilities(kind="scripted", models=("m",), speed=10.0)
    stats = EngineStats(capacity_tokens=1_000_000, locked=0.05, running_requests=3)
    engine = Slower(turns(*["once"] * 20), since=60.0, until=63.0, delay_s=2.0, capabilities=can, stats=stats)
    parameters = {"interval_s": 5.0, "first": 20}
    stage = Stage(engine, tasks(400), controller=controller, max_agents=400, parameters=parameters).run()
    (back,) = stage.of(r.EngineReturned)
    assert "grow" in {x.reason for x in stage.of(r.Decided) if back.t < x.t < back.t + 40}


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


class Replaced(Flaky):
    """What comes up first in its place is another server, until a third moment."""

    def __init__(self, script, since, until, own, other, right_again=1e9, **more):
        super().__init__(script, since, until, capabilities=own, **more)
        self.own, self.other, self.right_again = own, other, right_again

    async def probe(self):
        self.capabilities = self.other if self.until <= asyncio.get_running_loop().time() < self.right_again else self.own
        return self.capabilities


def lists(*models, **more):
    return Capabilities(kind="scripted", models=models, **more)


def test_another_model_in_its_place_is_told_once_and_the_right_one_waited_for():
    stats = EngineStats(capacity_tokens=1000)
    engine = Replaced(turns("once", "once"), 3.0, 30.0, lists("m"), lists("x", "y"), 90.0, delay_s=2.0, stats=stats)
    stage = Stage(engine, tasks(2)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    _lost, other = stage.of(r.EngineLost)
    assert other.message == "scripted serves x, y now, and served m before: start it with m again"
    (back,) = stage.of(r.EngineReturned)
    assert 90.0 <= back.t < 92.0
    assert not [x for x in stage.of(r.Sampled) if other.t < x.t < back.t and x.capacity_tokens]
    assert len(stage.engine.requests) == 6 + 1  # refused
    assert sum(x.wait_s for x in stage.of(r.RolloutFinished)) == pytest.approx(2 * back.away_s, abs=0.1)


@pytest.mark.parametrize(
    "then", [lists("m", capacity_tokens=9, version="1"), lists("m", capacity_tokens=5, version="2", context_length=7)]
)
def test_what_an_engine_is_when_it_returns_is_recorded_where_that_has_changed(then):
    now = lists("m", capacity_tokens=9, version="1")
    stage = Stage(Replaced(turns("once", "once"), 3.0, 30.0, now, then, delay_s=2.0), tasks(2)).run()
    assert [x.capacity_tokens for x in stage.of(r.EngineSeen)] == ([9] if then == now else [9, 5])
    told, shown = fold(stage.records).engines["scripted"].seen, summarise(fold(stage.records))["engines"]["scripted"]
    assert (told.capacity_tokens, told.version, told.context_length) == (then.capacity_tokens, then.version, then.context_length)
    assert (shown["capacity_tokens"], shown["version"]) == (then.capacity_tokens, then.version)


def test_another_model_for_good_ends_the_run_resumable():
    engine = Replaced(turns("once", "once"), 3.0, 30.0, lists("m"), lists("x"), delay_s=2.0)
    stage = Stage(engine, tasks(2), wait_s=60)
    said = "scripted: did not return within 60 s after this: serves x now, and served m before: start it with m again"
    with pytest.raises(EngineGone, match=said):
        stage.run()
    stage.records.append(r.SegmentFinished(t=70.0, cause="engine"))
    waited = 2 * (70.0 - stage.of(r.EngineLost)[0].t)
    assert fold(stage.records).totals.wait_s == pytest.approx(waited)
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0, capabilities=lists("m"))
    stage.run()
    assert sum(x.wait_s for x in stage.of(r.RolloutFinished)) == pytest.approx(waited, abs=0.1)


@pytest.mark.parametrize(
    ("own", "other", "model", "goes_on"),
    [
        (lists("m", "n"), lists("n", "m"), None, True),
        (lists("m", "n"), lists("m"), None, True),
        (lists("m", "lora"), lists("m", "lora"), "lora", True),
        (lists("m", "lora"), lists("m"), "lora", True),
        (lists("m", "n"), lists("n"), "n", True),
        (lists("m"), lists("x"), "m:lora", False),
        (lists("m"), lists("m"), "m:lora", True),
        (lists("m"), lists("m"), "called as one likes", True),
        (lists("m"), lists(), None, True),
        (lists(), lists("m"), None, True),
    ],
)
def test_what_is_wanted_of_an_engine_that_returns(own, other, model, goes_on):
    engine = Replaced(turns("once", "once"), 3.0, 30.0, own, other, delay_s=2.0)
    stage = Stage(engine, tasks(2, model=model), wait_s=60)
    if goes_on:
        stage.run()
        assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    else:
        with pytest.raises(EngineGone, match="and served"):
            stage.run()


@pytest.mark.parametrize(("listed", "asked"), [(("m", "b"), "b"), (("m",), "m"), ((), "b")])
def test_a_resumed_rollout_asks_for_the_model_that_it_began_with(listed, asked):
    stage = Stage(ScriptedEngine(turns("once", "once"), delay_s=2.0), tasks(1))
    stage.run(after(3.0, stop))
    stage.records = [structs.replace(x, model="b") if isinstance(x, r.RolloutStarted) else x for x in stage.records]
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0, capabilities=lists(*listed))
    stage.run()
    assert {request.model for request in stage.engine.requests} == {asked}
    assert stage.of(r.RolloutStarted)[-1].model == asked


def test_a_server_that_lists_nothing_does_not_make_another_the_right_one():
    class InTurns(Flaky):
        """Away twice; it lists m, nothing, x."""

        def away(self):
            now = asyncio.get_running_loop().time()
            return 3.0 <= now < 10.0 or 30.0 <= now < 40.0

        async def probe(self):
            now = asyncio.get_running_loop().time()
            self.capabilities = lists("m") if now < 5.0 else lists() if now < 35.0 else lists("x")
            return self.capabilities

    engine = InTurns(turns(*["again"] * 40), 0.0, 0.0, capabilities=lists("m"), delay_s=2.0)
    with pytest.raises(EngineGone, match="serves x now, and served m before"):
        Stage(engine, tasks(1), wait_s=60).run()


def test_a_reply_that_the_old_server_still_gives_does_not_make_the_other_the_right_one():
    class Late(Replaced):
        async def complete(self, request):
            late = request.rollout == "t0#0" and not self.requests
            answer = await super().complete(request)
            if late:
                await asyncio.sleep(40.0)
            return answer

    engine = Late(turns("once", "once"), 3.0, 30.0, lists("m"), lists("x", priority=True), 90.0, delay_s=1.0)
    stage = Stage(engine, tasks(2)).run()
    (back,) = stage.of(r.EngineReturned)
    assert back.t >= 90.0
    assert not [x for x in stage.of(r.EngineSeen) if 30.0 < x.t < 90.0]


@pytest.mark.parametrize(("error", "why"), [(TimeoutError(), "TimeoutError"), (EngineDown("scripted: HTTP 503"), "HTTP 503")])
def test_a_server_that_does_not_say_what_it_is_has_not_returned(error, why):
    class Mute(Replaced):
        async def probe(self):
            if asyncio.get_running_loop().time() < 60.0:
                raise error
            return await super().probe()

    engine = Mute(turns("once", "once"), 3.0, 30.0, lists("m"), lists("x"), 90.0, delay_s=2.0)
    stage = Stage(engine, tasks(2)).run()
    assert stage.of(r.EngineLost)[1].message == f"scripted is ready and does not say what it is ({why})"
    (back,) = stage.of(r.EngineReturned)
    assert 90.0 <= back.t < 92.0


def test_what_stood_in_its_place_is_told_when_it_is_gone():
    class Gone(Replaced):
        async def ready(self):
            return await super().ready() and not 40.0 <= asyncio.get_running_loop().time() < 90.0

    stage = Stage(Gone(turns("once", "once"), 3.0, 30.0, lists("m"), lists("x"), 90.0, delay_s=2.0), tasks(2)).run()
    assert [x.message.partition(" ")[2] for x in stage.of(r.EngineLost)][1:] == [
        "serves x now, and served m before: start it with m again",
        "does not answer any more",
    ]


@pytest.mark.parametrize("answer", [None, "HTTP 503: loading"])
def test_an_engine_that_hangs_is_noticed_and_its_calls_go_on(answer):
    class Stopped(Flaky):
        async def complete(self, request):
            answer = await ScriptedEngine.complete(self, request)
            while self.away():
                await asyncio.sleep(0.5)
            return answer

        async def stats(self):
            while self.away():
                if answer is not None:
                    raise EngineBusy(f"{self.name}: {answer}")
                await asyncio.sleep(0.5)
            return await ScriptedEngine.stats(self)

    stage = Stage(Stopped(turns("once", "once"), since=3.0, until=60.0, delay_s=2.0), tasks(3)).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    told = f"statistics cannot be read ({answer or 'no answer'}), and it is not ready"
    assert [x.message for x in stage.of(r.EngineLost)] == [told]
    assert len(stage.of(r.EngineReturned)) == 1
    assert len(stage.engine.requests) == 9


def test_every_attempt_has_a_request_id_of_its_own_also_after_a_loss():
    outcomes = iter([EngineDown("reset"), EngineBusy("full"), EngineDown("reset"), reply("x")])
    stage = Stage(ScriptedEngine(lambda request: next(outcomes)), tasks(1)).run()
    assert [q.request_id for q in stage.engine.requests] == ["t0#0/1", "t0#0/1+1", "t0#0/1+1~1", "t0#0/1+2"]


def test_dropped_connections_with_a_ready_engine_are_tried_again_and_then_an_error():
    stage = Stage(ScriptedEngine(lambda request: EngineDown("reset")), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.error.error_class, end.error.retryable) == ("error", "engine_down", True)
    assert len(stage.engine.requests) == 4


def test_retries_of_calls_that_fail_in_the_end_are_counted_and_timed():
    """The server is there, and says of every call that it is full."""
    stage = Stage(ScriptedEngine(lambda request: EngineBusy("HTTP 503: full"), delay_s=2.0), tasks(3)).run()
    assert [x.error.error_class for x in stage.of(r.RolloutFinished)] == ["engine"] * 3
    summary = summarise(fold(stage.records))
    assert (summary["retries"], len(stage.of(r.CallRetried))) == (6, 6)
    walls = [x.wall_s for x in stage.of(r.RolloutFinished)]
    assert min(walls) > 6
    assert [x.retry_s for x in stage.of(r.RolloutFinished)] == pytest.approx(walls, abs=1e-5)
    assert summary["time"]["seconds"]["retry_s"] == pytest.approx(sum(walls), abs=1e-4)


def test_retries_before_an_engine_is_found_away_stay_counted():
    class Full(Flaky):
        async def complete(self, request):
            if not self.away():
                return await super().complete(request)
            await asyncio.sleep(2.0)
            raise EngineBusy("HTTP 503: full")

    stage = Stage(Full(turns(), since=0.0, until=60.0, delay_s=2.0), tasks(1)).run()
    (reply,), (end,) = stage.of(r.ReplyReceived), stage.of(r.RolloutFinished)
    retries = stage.of(r.CallRetried)
    assert (len(retries), reply.retries, end.status) == (2, 3, "completed")
    assert reply.retry_s == pytest.approx(retries[-1].retry_s + retries[-1].pause_s, abs=1e-5)
    assert reply.model_s + reply.wait_s + reply.retry_s == pytest.approx(end.wall_s, abs=1e-5)
    assert fold(stage.records).totals.retries == 3


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
    ends, told = stage.of(r.RolloutFinished), stage.of(r.CallRetried)
    assert len(told) == sum(x.retries for x in stage.of(r.ReplyReceived)) > 0
    assert {(x.error, x.message) for x in told} == {("EngineDown", "reset")}
    assert sum(x.wait_s for x in ends) == 0
    assert all(x.model_s + x.tool_s + x.retry_s == pytest.approx(x.wall_s, abs=1e-5) for x in ends)
    state = fold(stage.records)
    assert state.faults.groups["attempt", "EngineDown"].count == state.totals.retries == len(told)
    assert state.totals.retry_s == pytest.approx(sum(x.retry_s for x in ends), abs=1e-4)


def test_calls_that_break_off_as_their_engine_goes_away_are_told_by_its_loss():
    engine = Flaky(turns("once", "once"), since=3.0, until=60.0, delay_s=2.0)
    stage = Stage(engine, tasks(3)).run()
    assert len(stage.of(r.EngineLost)) == 1
    assert stage.of(r.CallRetried) == []
    assert [x.retries for x in stage.of(r.ReplyReceived) if x.retries] == [1]
    assert all(x.retry_s == 0 and x.wait_s > 50 for x in stage.of(r.RolloutFinished))


@pytest.mark.parametrize("end", [drain, stop])
def test_waiting_for_the_engine_is_not_the_rollouts_time_after_a_resume_either(end):
    engine = Flaky(turns("once", "once"), since=3.0, until=90.0, delay_s=2.0)
    stage = Stage(engine, tasks(1), limits=Limits(timeout_s=30)).run(after(92.5, end))
    assert stage.complete is False
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0)
    stage.run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["completed"]


@pytest.mark.parametrize("end", [drain, stop])
def test_waiting_for_an_engine_stays_counted_where_the_run_is_interrupted(end):
    engine = Flaky(turns("once", "once"), since=3.0, until=1e9, delay_s=2.0)
    stage = Stage(engine, tasks(2)).run(after(50.0, end))
    (lost,) = stage.of(r.EngineLost)
    stage.records.append(r.SegmentFinished(t=50.0, cause="drained"))
    waited = 2 * (50.0 - lost.t)
    assert fold(stage.records).totals.wait_s == pytest.approx(waited)
    stage.engine = ScriptedEngine(turns("once", "once"), delay_s=2.0)
    stage.run()
    ends = stage.of(r.RolloutFinished)
    assert fold(stage.records).totals.wait_s == pytest.approx(sum(x.wait_s for x in ends), abs=1e-4)
    assert sum(x.wait_s for x in ends) == pytest.approx(waited, abs=0.1)
    assert all(x.model_s + x.tool_s + x.wait_s <= x.wall_s < 70 for x in ends)


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


def test_a_journal_that_breaks_under_the_watch_stops_the_run_too():
    """The watch on a lost engine writes records of its own."""
    engine = Flaky(turns("once", "once"), since=3.0, until=1e9, delay_s=2.0)
    with pytest.raises(RunDirectoryError, match="full"):
        Stage(engine, tasks(2), full=lambda _, record: isinstance(record, r.EngineLost)).run()
