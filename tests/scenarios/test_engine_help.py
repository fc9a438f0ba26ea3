"""What the engine itself can do for agents: sessions, priorities. Used where it has them and they are wanted."""

import asyncio

import pytest
from stage import Stage, tasks, turns

from concur_batch import records as r
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.errors import EngineRefused
from concur_batch.task import Limits


def engine_with(*helps, script=None, delay_s=2.0):
    can = Capabilities(kind="scripted", models=("m",), **dict.fromkeys(helps, True))
    return ScriptedEngine(script or turns("once", "look"), delay_s=delay_s, capabilities=can)


def sent(stage):
    return {(q.session_id is not None, q.priority is not None) for q in stage.engine.requests}


def seen(stage):
    return [(x.sessions, x.priority) for x in stage.of(r.EngineSeen)]


@pytest.mark.parametrize("has", [(), ("session_close",), ("priority",), ("session_close", "priority")])
@pytest.mark.parametrize("wanted", [True, False])
def test_used_where_the_engine_has_it_and_it_is_wanted(has, wanted):
    stage = Stage(engine_with(*has), tasks(3), sessions=wanted, priority=wanted).run()
    used = (wanted and "session_close" in has, wanted and "priority" in has)
    assert stage.complete
    assert sent(stage) == {used}
    assert seen(stage) == [used]
    assert sorted(stage.engine.closed_sessions) == (["t0#0", "t1#0", "t2#0"] if used[0] else [])


def raises(request):
    return EngineRefused("no")


async def gives_up(task, ctx):
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("status", "more"),
    [
        ("completed", {}),
        ("error", {"script": raises}),
        ("max_steps", {"limits": Limits(max_steps=1)}),
        ("timeout", {"limits": Limits(timeout_s=3.0)}),
        ("context_length", {"limits": Limits(context_length=1)}),
        ("cancelled", {"agents": {"gives up": gives_up}, "agent": "gives up"}),
    ],
)
def test_a_session_is_closed_however_its_agent_ends(status, more):
    more = dict(more)
    engine = engine_with("session_close", script=more.pop("script", None))
    stage = Stage(engine, tasks(2), **more).run()
    assert {x.status for x in stage.of(r.RolloutFinished)} == {status}
    assert sorted(engine.closed_sessions) == ["t0#0", "t1#0"]


@pytest.mark.parametrize("end", [lambda stage: stage.runner.drain("SIGINT"), lambda stage: stage.runner.stop()])
def test_a_session_is_closed_on_drain_and_stop_and_opened_again_on_resume(end):
    async def meanwhile(stage):
        await asyncio.sleep(3.5)
        end(stage)

    stage = Stage(engine_with("session_close"), tasks(2)).run(meanwhile)
    assert sorted(stage.engine.closed_sessions) == ["t0#0", "t1#0"]
    stage.engine = engine_with("session_close")
    stage.run()
    assert stage.complete
    assert {q.session_id for q in stage.engine.requests} == {"t0#0", "t1#0"}
    assert sorted(stage.engine.closed_sessions) == ["t0#0", "t1#0"]


def test_a_session_stays_open_while_its_agent_pauses():
    async def meanwhile(stage):
        await asyncio.sleep(4.0)
        assert stage.engine.closed_sessions == []

    stage = Stage(engine_with("session_close"), tasks(4), controller="fixed:1").run(meanwhile)
    assert len(stage.engine.closed_sessions) == 4


def test_the_older_the_more_urgent_and_never_so_much_that_it_preempts():
    """SGLang stops a running request for one that is more urgent by more than 10."""
    stage = Stage(engine_with("priority"), tasks(60), controller="fixed:25").run()
    first = [q.priority for q in stage.engine.requests[:25]]
    assert {q.priority for q in stage.engine.requests} <= set(range(11))
    later = {q.rollout: q.priority for q in stage.engine.requests[25:50]}
    assert (later["t0#0"], later["t12#0"], later["t24#0"]) == (10, 5, 0)
    assert list(later.values()) == sorted(later.values(), reverse=True)
    assert min(first) >= 0


def test_an_agent_alone_has_a_priority_too():
    stage = Stage(engine_with("priority"), tasks(1)).run()
    assert {q.priority for q in stage.engine.requests} == {0}


def test_help_that_is_refused_in_mid_run_is_noted_once():
    engine = engine_with("session_close", "priority")
    script = turns("once", "look")

    def refusing(request):
        if len(engine.requests) == 4:  # as `OpenAIEngine` does it: the call itself succeeds
            engine.capabilities = Capabilities(kind="scripted", models=("m",), session_close=True, refused=("priority",))
        return script(request)

    engine._script = refusing
    stage = Stage(engine, tasks(3)).run()
    assert stage.complete
    assert seen(stage) == [(True, True), (True, False)]
    assert stage.of(r.EngineSeen)[-1].note == "refuses priority, so requests go without"
    assert len(engine.closed_sessions) == 3
