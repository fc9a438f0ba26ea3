"""From tasks to terminal records, nothing going wrong but limits and agents."""

import asyncio
from dataclasses import replace

import pytest
from stage import Opened, Stage, Tools, tasks, turns

from concur_batch import records as r
from concur_batch.control.base import EngineStats
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused
from concur_batch.state import fold
from concur_batch.task import Limits, ScriptedTurn


def test_plan_tool_observe_until_an_answer():
    stage = Stage(ScriptedEngine(turns("wait", "wait"), delay_s=2.0), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output, end.n_steps, end.finish_reason) == ("completed", "answer of t0#0", 3, "stop")
    assert (end.model_s, end.tool_s, end.wall_s) == (6.0, 2.0, 8.0)
    assert [m["role"] for m in stage.engine.requests[-1].messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert stage.complete


def test_calls_of_one_turn_run_at_once_and_are_observed_in_order():
    stage = Stage(ScriptedEngine(turns(("wait", "look", "once"))), tasks(1)).run()
    observed = [m["content"] for m in stage.engine.requests[-1].messages if m["role"] == "tool"]
    assert [text.split()[0] for text in observed] == ["wait", "look", "once"]
    assert stage.of(r.RolloutFinished)[0].wall_s == 1.0


def test_every_rollout_has_its_own_seed():
    stage = Stage(ScriptedEngine(turns()), tasks(2, seed=40), n=3).run()
    assert {x.rollout: x.seed for x in stage.of(r.RolloutStarted)} == {f"t{i}#{k}": 40 + k for i in range(2) for k in range(3)}
    assert {q.rollout: q.sampling["seed"] for q in stage.engine.requests} == {
        f"t{i}#{k}": 40 + k for i in range(2) for k in range(3)
    }


@pytest.mark.parametrize(
    ("limits", "status", "steps"),
    [
        (Limits(max_steps=2), "max_steps", 2),
        (Limits(max_output_tokens=12), "token_budget", 3),
        (Limits(max_total_tokens=400), "token_budget", 2),
        (Limits(timeout_s=4.5), "timeout", 2),
        (Limits(context_length=395), "context_length", 2),
    ],
)
def test_a_limit_is_a_status(limits, status, steps):
    stage = Stage(ScriptedEngine(turns(*["wait"] * 9), delay_s=1.0), tasks(1), limits=limits).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.n_steps, end.error) == (status, steps, None)


def test_the_output_budget_bounds_each_call():
    stage = Stage(ScriptedEngine(turns("wait")), tasks(1), limits=Limits(max_output_tokens=100)).run()
    assert [q.sampling["max_tokens"] for q in stage.engine.requests] == [100, 95]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({"max_tokens": 60}, {"max_tokens": 60}),
        ({"max_completion_tokens": 4096}, {"max_completion_tokens": 100}),
        ({"max_completion_tokens": 60, "max_tokens": None}, {"max_completion_tokens": 60, "max_tokens": None}),
        ({"max_completion_tokens": 200, "max_tokens": 300}, {"max_completion_tokens": 100, "max_tokens": 100}),
    ],
)
def test_the_output_budget_bounds_the_limit_that_is_said(said, sent):
    stage = Stage(ScriptedEngine(turns()), tasks(1, sampling=said), limits=Limits(max_output_tokens=100)).run()
    assert stage.engine.requests[0].sampling == {"seed": 0} | sent


class BusyTools(Tools):
    """Each call waits 3 s until it can begin, and takes 1 s then."""

    def open(self, rollout, seed, attempt=1):
        return BusyTool(self, rollout)


class BusyTool(Opened):
    async def call(self, name, arguments):
        await asyncio.sleep(3.0)
        return replace(await super().call(name, arguments), wait_s=3.0)


def test_what_a_tool_call_waited_is_waiting_and_no_part_of_the_tools_seconds():
    stage = Stage(ScriptedEngine(turns("wait", ("wait", "wait"))), tasks(1), tools=BusyTools()).run()
    calls, (end,) = stage.of(r.ToolFinished), stage.of(r.RolloutFinished)
    assert [(x.seconds, x.wait_s) for x in calls] == [(1.0, 3.0)] * 3
    assert (end.tool_s, end.wait_s, end.wall_s) == (3.0, 9.0, 8.0)
    totals = fold(stage.records).totals
    assert (totals.tool_s, totals.wait_s) == (3.0, 9.0)


def test_an_engine_that_counts_no_tokens_is_noted_once():
    """Limits on tokens cannot bind there; whether it counts others is not known."""
    stage = Stage(ScriptedEngine([reply("a", prompt_tokens=0, completion_tokens=0)] * 3), tasks(3)).run()
    notes = [x.note for x in stage.of(r.EngineSeen)]
    assert len(notes) == 2
    assert notes[0] is None
    assert "some of its replies tell no token counts" in notes[1]


def test_a_finish_call_ends_with_its_answer():
    script = [reply(None, ("wait", {}), ("finish", {"answer": "42"}))]
    stage = Stage(ScriptedEngine(script), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output) == ("completed", "42")
    assert [x.tool for x in stage.of(r.ToolFinished)] == ["wait"]


@pytest.mark.parametrize(
    ("text", "arguments", "output"),
    [
        (None, {}, ""),
        ("It is 42.", {}, "It is 42."),
        ("It is 42.", {"answer": None}, "It is 42."),
        ("It is 42.", "", "It is 42."),
        ("It is 42.", {"answer": ""}, ""),
        (None, {"answer": 42}, "42"),
        (None, "just 42", "just 42"),
        (None, "[" * 3000, "[" * 3000),
    ],
)
def test_a_finish_call_without_its_answer_has_the_text_beside_it(text, arguments, output):
    stage = Stage(ScriptedEngine([reply(text, ("finish", arguments))]), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output) == ("completed", output)


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ('{"answer": "l1\nl2"}', "l1\nl2"),
        ('{"answer": "x",}', "x"),
        ('```json\n{"answer": "x"}\n```', "x"),
        ('{"answer": "forty-two', "forty-two"),
        ('"{\\"answer\\": \\"x\\"}"', "x"),
        ('{"answer": {"ä": [1,', '{"ä": [1]}'),
        ({"answer": {"ä": "é"}}, '{"ä": "é"}'),
        ('{"answer": ["\\ud800"]}', '["\\ud800"]'),
        ('{"result": "x",}', '{"result": "x",}'),
        ("[1, 2]", "[1, 2]"),
        ("it is {x: 1}", "it is {x: 1}"),
        ("f(x) = {answer: x}", "f(x) = {answer: x}"),
        ('use {"answer": 1} maybe', 'use {"answer": 1} maybe'),
        ('{"answer": "a"} {"answer": "b"}', '{"answer": "a"} {"answer": "b"}'),
        ('{"answer": "a",} {"answer": "b"}', '{"answer": "a",} {"answer": "b"}'),
        (" ```\n {answer: x}", "x"),
    ],
)
def test_the_answer_in_a_broken_finish_call_is_repaired_as_other_arguments_are(arguments, output):
    stage = Stage(ScriptedEngine([reply("beside it", ("finish", arguments))]), tasks(1)).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output) == ("completed", output)


def test_a_context_that_the_engine_finds_too_long_is_a_status():
    stage = Stage(ScriptedEngine([ContextLengthExceeded("too long")]), tasks(1)).run()
    assert stage.of(r.RolloutFinished)[0].status == "context_length"


def test_what_cannot_pass_fails_the_rollout_and_not_the_batch():
    def outcome(request):
        return EngineRefused("no such model") if request.rollout == "t1#0" else turns()(request)

    stage = Stage(ScriptedEngine(outcome), tasks(3)).run()
    ends = {x.rollout: (x.status, x.error and x.error.error_class) for x in stage.of(r.RolloutFinished)}
    assert ends == {"t0#0": ("completed", None), "t1#0": ("error", "engine"), "t2#0": ("completed", None)}


def test_what_may_pass_is_tried_again_and_told_in_the_log(caplog):
    script = [EngineBusy("later", retry_after=7.0), reply("at last")]
    stage = Stage(ScriptedEngine(script), tasks(1)).run()
    (step,) = stage.of(r.ReplyReceived)
    assert step.retries == 1
    assert 7.0 <= step.retry_s < 8.0
    assert stage.of(r.RolloutFinished)[0].output == "at last"
    assert "rollout t0#0, step 1: later; retry 1 in 7." in caplog.text


class Panic(BaseException):
    """As what some compiled extensions raise."""


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt, Panic])
def test_an_agent_that_raises_fails_alone(kind):
    async def broken(task, ctx):
        raise kind(task.id)

    stage = Stage(ScriptedEngine(turns()), tasks(2), agents={"broken": broken}, agent="broken").run()
    assert [x.error.error_class for x in stage.of(r.RolloutFinished)] == ["agent", "agent"]
    assert kind.__name__ in stage.of(r.RolloutFinished)[0].error.message


def test_messages_that_are_no_list_are_the_agents_fault():
    async def hasty(task, ctx):
        await ctx.complete("Hello")

    stage = Stage(ScriptedEngine(turns()), tasks(1), agents={"hasty": hasty}, agent="hasty").run()
    (end,) = stage.of(r.RolloutFinished)
    assert end.error.message == "complete(messages): give a list of messages, not a str"
    assert stage.engine.requests == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"n": 3}, "complete(n=...): does not belong here; write the column n; each rollout is a request of its own"),
        ({"stream": True}, "complete(stream=...): does not belong here; leave it out; replies are not streamed"),
        ({"n": 1, "stream": False}, None),
    ],
)
def test_an_agent_that_asks_for_several_replies_or_a_stream_is_told(asked, told):
    async def agent(task, ctx):
        return (await ctx.complete(ctx.prompt, **asked)).message["content"]

    stage = Stage(ScriptedEngine([reply("one")]), tasks(1), agent="mine", agents={"mine": agent}).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.error and end.error.message, end.output) == (told, None if told else "one")
    assert len(stage.engine.requests) == (0 if told else 1)


def test_branches_that_reach_a_limit_together_clean_up():
    cleaned = []

    async def tidy(task, ctx):
        async def branch(i):
            messages = [{"role": "user", "content": str(i)}]
            try:
                while True:
                    messages.append((await ctx.complete(messages)).message)
            finally:
                cleaned.append(i)

        async with asyncio.TaskGroup() as group:
            for i in range(5):
                group.create_task(branch(i))

    stage = Stage(
        ScriptedEngine(turns(*["wait"] * 99)), tasks(1), agents={"tidy": tidy}, agent="tidy", limits=Limits(max_steps=8)
    )
    assert stage.run().of(r.RolloutFinished)[0].status == "max_steps"
    assert sorted(cleaned) == [0, 1, 2, 3, 4]


def test_scripts_reach_the_engine_turn_by_turn():
    script = (ScriptedTurn(content="a"), ScriptedTurn(content="b"))
    stage = Stage(ScriptedEngine(turns("wait")), tasks(1, script=script)).run()
    assert [q.turn for q in stage.engine.requests] == list(script)


def test_plan_first_asks_without_tools():
    stage = Stage(ScriptedEngine([reply("1. look"), reply("done")]), tasks(1), plan_first=True).run()
    assert stage.engine.requests[0].tools is None
    assert len(stage.engine.requests[1].tools) == 3
    assert [m["role"] for m in stage.engine.requests[1].messages] == ["user", "user", "assistant", "user"]


def test_live_agents_are_bounded_under_every_policy():
    for controller in ("off", "fixed:50", "aimd"):
        stage = Stage(ScriptedEngine(turns("wait"), delay_s=1.0), tasks(40), controller=controller, max_agents=7).run()
        assert stage.engine.most_in_flight <= 7
        assert len(stage.of(r.RolloutFinished)) == 40


def test_a_fixed_window_holds():
    stage = Stage(ScriptedEngine(turns("wait"), delay_s=1.0), tasks(20), controller="fixed:4").run()
    assert stage.engine.most_in_flight == 4
    assert {x.agents for x in stage.of(r.Decided)} == {4}


def test_a_healthy_engine_opens_the_window_two_agents_a_second():
    engine = ScriptedEngine(
        turns(*["wait"] * 5),
        delay_s=1.0,
        stats=EngineStats(locked=0.1, running_requests=4),
        capabilities=Capabilities(statistics="loads"),
    )
    stage = Stage(engine, tasks(40), controller="aimd").run()
    assert [x.agents for x in stage.of(r.Decided)][:6] == [8, 10, 12, 14, 16, 18]


def test_a_thrashing_engine_pauses_the_newest_and_all_get_done():
    def thrash(request):
        done = sum(m["role"] == "assistant" for m in request.messages)
        prompt = 1000 * (done + 1)
        return (
            reply(None, ("wait", {}), prompt_tokens=prompt, cached_tokens=0)
            if done < 6
            else reply("done", prompt_tokens=prompt, cached_tokens=0)
        )

    engine = ScriptedEngine(thrash, delay_s=2.0, stats=EngineStats(locked=0.9), capabilities=Capabilities(statistics="loads"))
    stage = Stage(engine, tasks(30), controller="aimd", parameters={"first": 16}).run()
    assert min(x.agents for x in stage.of(r.Decided)) == 2
    paused = [x.rollout for x in stage.of(r.RolloutPaused)]
    assert set(paused[:8]) == {f"t{i}#0" for i in range(8, 16)}
    assert not {"t0#0", "t1#0"} & set(paused)
    assert len(stage.of(r.RolloutFinished)) == 30
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}


def test_misses_are_counted_against_history_and_not_after_a_pause():
    stage = Stage(ScriptedEngine(turns("wait", "wait"), delay_s=1.0), tasks(1)).run()
    first, second, _ = stage.of(r.ReplyReceived)
    assert (first.history_tokens, first.missed_tokens) == (0, 0)
    assert second.history_tokens == first.prompt_tokens + first.completion_tokens
    assert second.missed_tokens == max(0, second.history_tokens - second.cached_tokens)


def test_two_engines_share_the_agents():
    engines = [
        ScriptedEngine(turns("wait"), delay_s=1.0, name=name, capabilities=Capabilities(capacity_tokens=1000))
        for name in ("one", "two")
    ]
    stage = Stage(engines, tasks(20), controller="fixed:3").run()
    assert [engine.most_in_flight for engine in engines] == [3, 3]
    by_rollout = {x.rollout: x.engine for x in stage.of(r.RolloutStarted)}
    assert all(x.engine == by_rollout[x.rollout] for x in stage.of(r.ReplyReceived))


def test_the_same_run_writes_the_same_journal():
    def run():
        return (
            Stage(ScriptedEngine(turns("wait", ("look", "once")), delay_s=0.7), tasks(12), controller="aimd", n=2).run().records
        )

    assert [r.encoder.encode(x) for x in run()] == [r.encoder.encode(x) for x in run()]


def test_a_tool_that_was_not_offered_is_not_run():
    stage = Stage(ScriptedEngine(turns(("wait", "once"))), tasks(1, tools=("wait",))).run()
    assert [name for _, name, _ in stage.tools.ran] == ["wait"]
    refused = stage.engine.requests[-1].messages[-1]["content"]
    assert refused == "There is no tool `once`. The tools are: wait."


def test_a_prompt_that_no_engine_would_take_is_sent_all_the_same():
    """What it fails by is told of its own rollout, and the others go on."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    one, other = tasks(2)
    stage = Stage(ScriptedEngine(turns()), [replace(one, messages=(*one.messages, call)), other]).run()
    assert len(stage.of(r.RolloutFinished)) == 2


def test_what_is_recorded_as_resident_is_never_less_than_what_is_locked():
    """The one is told every second, the other every five; the controller gets what was told."""

    class Engine(ScriptedEngine):
        async def stats(self):
            now = asyncio.get_running_loop().time()
            return EngineStats(capacity_tokens=1000, locked=min(1.0, 0.1 * now), resident=0.35, epoch=now)

    samples = Stage(Engine(turns("once", "once", "once"), delay_s=2.0), tasks(1)).run().of(r.Sampled)
    assert max(x.locked for x in samples) > 0.5
    assert {x.resident for x in samples} == {max(x.locked, 0.35) for x in samples}
