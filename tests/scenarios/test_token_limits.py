"""How the limits on tokens bound replies, and end rollouts."""

import asyncio
from dataclasses import replace

import pytest
from stage import Stage, after, drain, tasks

from concur_batch import records as r
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.task import Limits


def talkative(tokens, *, prompt=100, context=None):
    """An engine's script: whoever asks gets so many tokens, unless less is asked for or fits; prompts grow by what was said."""

    def outcome(request):
        said = 10 * sum(len(message["content"]) for message in request.messages if message["role"] == "assistant")
        prompt_tokens, asked = prompt + said, request.sampling.get("max_tokens", tokens)
        most = min(tokens, asked, tokens if context is None else context - prompt_tokens)
        reason = "stop" if most == tokens else "length"
        return reply("x" * (most // 10), prompt_tokens=prompt_tokens, completion_tokens=most, finish_reason=reason)

    return outcome


@pytest.mark.parametrize(
    ("limits", "sampling", "context", "status", "spent"),
    [
        (Limits(max_output_tokens=50), {}, None, "token_budget", 50),
        (Limits(max_output_tokens=50), {"max_tokens": 80}, None, "token_budget", 50),
        (Limits(max_output_tokens=50), {"max_tokens": 20}, None, "completed", 20),
        (Limits(max_output_tokens=50), {"max_tokens": 50}, None, "completed", 50),  # as long as it was asked to be
        (Limits(max_output_tokens=50), {"max_tokens": 80, "max_completion_tokens": 50}, None, "completed", 50),
        (Limits(max_output_tokens=300), {}, None, "completed", 200),
        (Limits(max_output_tokens=180), {}, 250, "completed", 150),  # cut by what the engine can hold
        (Limits(context_length=150), {"max_tokens": 190}, None, "context_length", 150),
        (Limits(context_length=150), {}, None, "completed", 200),  # nothing is known of the prompt, and none was made up
        (Limits(context_length=150), {"max_tokens": 50}, None, "completed", 50),
        (Limits(context_length=250), {"max_tokens": 20}, None, "completed", 20),
        (Limits(context_length=500), {}, None, "completed", 200),
        (Limits(context_length=100), {"max_tokens": 20}, None, "context_length", 20),  # the prompt alone
        (Limits(context_length=240, max_output_tokens=150), {}, None, "token_budget", 150),
    ],
)
def test_a_reply_that_a_limit_cut_off_is_no_answer(limits, sampling, context, status, spent):
    engine = ScriptedEngine(talkative(200, context=context))
    (end,) = Stage(engine, tasks(1, sampling=sampling), limits=limits).run().of(r.RolloutFinished)
    assert (end.status, end.completion_tokens, end.n_steps) == (status, spent, 1)
    assert (end.output is None) == (status != "completed")


async def twice(task, ctx):
    messages = ctx.prompt
    for _ in range(2):
        messages.append((await ctx.complete(messages)).message)
    return "both"


def test_a_conversation_is_bounded_by_what_its_last_reply_counted():
    limits = Limits(context_length=370)
    engine = ScriptedEngine(talkative(200), capabilities=Capabilities(context_length=1000))
    stage = Stage(engine, tasks(1), limits=limits, agent="twice", agents={"twice": twice}).run()
    assert [q.sampling.get("max_tokens") for q in engine.requests] == [None, 70]
    (end,) = stage.of(r.RolloutFinished)
    assert (end.status, end.output, end.n_steps) == ("context_length", None, 2)
    assert stage.of(r.ReplyReceived)[-1].prompt_tokens + stage.of(r.ReplyReceived)[-1].completion_tokens == 370


@pytest.mark.parametrize(
    ("limits", "sampling", "asked"),
    [
        (Limits(max_output_tokens=200_000), {}, [None, None]),  # the engine ends the reply where its context does
        (Limits(max_output_tokens=950), {}, [950, None]),
        (Limits(max_output_tokens=600), {}, [600, 400]),
        (Limits(max_output_tokens=200_000), {"max_tokens": 300_000}, [999, 999]),
        (Limits(), {"max_tokens": 300_000}, [999, 999]),
        (Limits(), {"max_tokens": 300}, [300, 300]),
        (Limits(context_length=1000), {}, [None, None]),
        (Limits(context_length=900), {}, [None, 600]),  # the first prompt has not been counted
        (Limits(context_length=900), {"max_tokens": 2000}, [900, 600]),
        (Limits(context_length=900, max_output_tokens=200_000), {}, [None, 600]),
        (Limits(context_length=900, max_output_tokens=950), {}, [900, 600]),
    ],
)
def test_no_more_is_asked_for_than_the_models_context_leaves(limits, sampling, asked):
    engine = ScriptedEngine(talkative(200), capabilities=Capabilities(context_length=1000))
    Stage(engine, tasks(1, sampling=sampling), limits=limits, agent="twice", agents={"twice": twice}).run()
    assert [q.sampling.get("max_tokens") for q in engine.requests] == asked


@pytest.mark.parametrize(
    ("limits", "sampling", "asked"),
    [
        (Limits(context_length=900), {}, [None, None]),
        (Limits(context_length=900), {"max_tokens": 2000}, [900, 600]),
        (Limits(context_length=900, max_output_tokens=800), {}, [800, 600]),
    ],
)
def test_a_limit_on_the_context_makes_up_no_bound_where_the_models_is_not_known(limits, sampling, asked):
    engine = ScriptedEngine(talkative(200))
    Stage(engine, tasks(1, sampling=sampling), limits=limits, agent="twice", agents={"twice": twice}).run()
    assert [q.sampling.get("max_tokens") for q in engine.requests] == asked
    assert [q.bound_is_ours for q in engine.requests] == [most is not None and not sampling for most in asked]


def test_a_reply_that_was_cut_off_ends_the_rollout_also_when_it_comes_from_the_journal():
    stage = Stage(ScriptedEngine(talkative(200)), tasks(1), limits=Limits(max_output_tokens=50)).run()
    stage.records = [x for x in stage.records if type(x) is not r.RolloutFinished]
    (end,) = stage.run().of(r.RolloutFinished)
    assert (end.status, end.n_steps, len(stage.engine.requests)) == ("token_budget", 1, 1)


def test_an_agent_that_asks_for_all_that_is_left_gets_it():
    async def exact(task, ctx):
        messages = ctx.prompt
        for tokens in (120, 80):
            messages.append((await ctx.complete(messages, max_tokens=tokens)).message)
        return "both"

    limits = Limits(max_output_tokens=200, context_length=300)
    stage = Stage(ScriptedEngine(talkative(500)), tasks(1), limits=limits, agent="exact", agents={"exact": exact})
    for _ in range(2):
        (end,) = stage.run().of(r.RolloutFinished)
        assert (end.status, end.output, end.completion_tokens) == ("completed", "both", 200)
        stage.records = [x for x in stage.records if type(x) is not r.RolloutFinished]


def taking(**seconds):
    """An engine at which calls take the seconds given for their first message, and get 100 tokens a second; `quick` is cut off."""

    def outcome(request):
        name = request.messages[0]["content"]
        reason = "length" if name == "quick" else "stop"
        return reply(name, prompt_tokens=10, completion_tokens=100 * seconds[name], finish_reason=reason)

    return ScriptedEngine(outcome, delay_s=lambda request: seconds[request.messages[0]["content"]])


async def three_at_once(task, ctx):
    def ask(name, **sampling):
        return ctx.complete([{"role": "user", "content": name}], **sampling)

    await asyncio.gather(ask("slow"), ask("slower"), ask("quick", max_tokens=300))
    await ctx.call("look", {"at": "x"})
    return "done"


@pytest.mark.parametrize("until", [r.ToolStarted, r.RolloutFinished])
def test_a_resumed_rollout_ends_as_it_did_though_replies_come_in_another_order(until):
    """Live there was much left when the reply that was cut off came; on resume it is the last to be asked for again."""
    engine = taking(quick=2, slow=4, slower=5)
    stage = Stage(engine, tasks(1), limits=Limits(max_output_tokens=1000), agent="three", agents={"three": three_at_once})
    stage.run()
    live = stage.of(r.RolloutFinished)[0]
    stage.records = stage.records[: next(i for i, x in enumerate(stage.records) if type(x) is until)]
    (end,) = stage.run().of(r.RolloutFinished)
    assert (live.status, live.completion_tokens) == (end.status, end.completion_tokens) == ("completed", 1100)
    assert (live.output, end.output, len(engine.requests)) == ("done", "done", 3)


def test_a_rollout_that_went_on_after_a_long_prompt_goes_on_when_resumed():
    """As one did whose journal was begun when a reply ended none."""

    def outcome(request):
        first = request.messages[0]["content"]
        return reply("ok", prompt_tokens=900 if first == "long" else 20 * len(request.messages))

    async def beside(task, ctx):
        async def steps(count):
            for _ in range(count):
                messages.append((await ctx.complete(messages)).message)

        messages = ctx.prompt
        await asyncio.gather(ctx.complete([{"role": "user", "content": "long"}]), steps(3))
        await steps(3)
        return "done"

    stage = Stage(ScriptedEngine(outcome, delay_s=1.0), tasks(1), agent="beside", agents={"beside": beside})
    stage.run(after(4.5, drain))
    assert len(stage.of(r.ReplyReceived)) == 6
    stage.limits = Limits(context_length=500)
    (end,) = stage.run().of(r.RolloutFinished)
    assert (end.status, end.output, end.n_steps) == ("completed", "done", 7)


def test_a_cut_reply_before_another_model_call_ends_nothing_when_resumed():
    async def goes_on(task, ctx):
        await ctx.complete(ctx.prompt)
        await ctx.complete(ctx.prompt, max_tokens=3)
        return "done"

    stage = Stage(ScriptedEngine(talkative(200, context=250)), tasks(1), agent="on", agents={"on": goes_on}).run()
    stage.records = [x for x in stage.records if type(x) is not r.RolloutFinished]
    stage.limits = Limits(max_output_tokens=150)
    (end,) = stage.run().of(r.RolloutFinished)
    assert (end.status, end.output) == ("completed", "done")


@pytest.mark.parametrize("until", [r.ToolStarted, r.ToolFinished, r.RolloutFinished])
def test_a_tool_that_cleans_up_after_a_limit_does_not_undo_it_when_resumed(until):
    async def tidy(task, ctx):
        try:
            cut = await ctx.complete(ctx.prompt)
        finally:
            await ctx.call("look", {"at": "x"})
        return cut.message["content"]

    limits = Limits(max_output_tokens=50)
    stage = Stage(ScriptedEngine(talkative(200)), tasks(1), limits=limits, agent="tidy", agents={"tidy": tidy}).run()
    assert stage.of(r.RolloutFinished)[0].status == "token_budget"
    stage.records = stage.records[: 1 + next(i for i, x in enumerate(stage.records) if type(x) is until)]
    stage.records = [x for x in stage.records if type(x) is not r.RolloutFinished]
    (end,) = stage.run().of(r.RolloutFinished)
    assert (end.status, end.output) == ("token_budget", None)


@pytest.mark.parametrize(("limits", "context"), [(Limits(context_length=300), None), (Limits(), 300)])
def test_a_short_conversation_is_not_refused_because_another_was_long(limits, context):
    async def sums_up(task, ctx):
        await ctx.complete(ctx.prompt)
        return (await ctx.complete([{"role": "user", "content": "sum up"}])).message["content"]

    engine = ScriptedEngine(talkative(200), capabilities=Capabilities(context_length=context))
    stage = Stage(engine, tasks(1), limits=limits, agent="sums", agents={"sums": sums_up}).run()
    assert [(x.status, x.n_steps) for x in stage.of(r.RolloutFinished)] == [("completed", 2)]
    again = Stage(engine, tasks(1), limits=limits, agent="twice", agents={"twice": twice}).run()
    assert [(x.status, x.n_steps) for x in again.of(r.RolloutFinished)] == [("context_length", 1)]


@pytest.mark.parametrize(("most", "asked"), [(400, [None, 300]), (120, [None, 20])])
def test_reasoning_counts_for_the_reply_alone(most, asked):
    """Chat templates leave it out of the next prompt."""

    def reasons(request):
        tokens = min(350, request.sampling.get("max_tokens", 350))
        prompt = 100 + 5 * (len(request.messages) - 1)
        return replace(reply("x", prompt_tokens=prompt, completion_tokens=tokens), reasoning_tokens=tokens - 5)

    engine = ScriptedEngine(reasons, capabilities=Capabilities(context_length=1000))
    limits = Limits(context_length=most)
    stage = Stage(engine, tasks(1), limits=limits, agent="twice", agents={"twice": twice}).run()
    assert [(x.status, x.n_steps) for x in stage.of(r.RolloutFinished)] == [("completed", 2)]
    assert [q.sampling.get("max_tokens") for q in engine.requests] == asked
