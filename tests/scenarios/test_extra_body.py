"""What an agent of one's own may ask a call to be sampled with; `extra_body` is what it is in a row: further fields of the request."""

import contextlib
import math

import pytest
from stage import Stage, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineRefused


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"return_token_ids": True}, {"return_token_ids": True}),
        ({"extra_body": {"return_token_ids": True, "stream": False}, "top_p": 0.5}, {"return_token_ids": True, "top_p": 0.5}),
        ({"extra_body": None}, {}),
    ],
)
def test_its_fields_are_sent_as_any_other(asked, sent):
    async def agent(task, ctx):
        await ctx.complete(ctx.prompt, **asked)

    stage = Stage(ScriptedEngine([reply("one")]), tasks(1), agent="mine", agents={"mine": agent}).run()
    (request,) = stage.engine.requests
    assert {key: value for key, value in request.sampling.items() if key not in ("seed", "stream")} == sent


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({"messages": None}, "complete(extra_body=...): messages does not belong here"),
        ({"n": 2}, "complete(extra_body=...): n does not belong here"),
        ({"stream": True}, "complete(extra_body=...): stream does not belong here"),
        ([], "complete(extra_body=...): give an object, not a list"),
    ],
)
def test_what_does_not_belong_there_is_the_agents_fault(further, said):
    async def agent(task, ctx):
        await ctx.complete(ctx.prompt, extra_body=further)

    stage = Stage(ScriptedEngine([reply("one")]), tasks(1), agent="mine", agents={"mine": agent}).run()
    (end,) = stage.of(r.RolloutFinished)
    assert end.error.message == said
    assert stage.engine.requests == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"temperature": math.nan}, "complete(temperature=...): nan is no JSON number; give another or leave it out"),
        ({"max_tokens": math.inf}, "complete(max_tokens=...): inf is no JSON number; give another or leave it out"),
        ({"logit_bias": {"7": -math.inf}}, "complete(logit_bias=...): -inf is no JSON number; give another or leave it out"),
        (
            {"extra_body": {"min_p": [0.1, math.nan]}},
            "complete(extra_body=...): nan is no JSON number; give another or leave it out",
        ),
    ],
)
def test_numbers_that_json_does_not_have_are_the_agents_fault(asked, said):
    async def agent(task, ctx):
        await ctx.complete(ctx.prompt, **asked)

    stage = Stage(ScriptedEngine([reply("one")]), tasks(1), agent="mine", agents={"mine": agent}).run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.error.error_class, end.error.message) == ("agent", said)
    assert stage.engine.requests == []


def test_another_model_for_one_call_is_told_of_that_call():
    """So that its span has it."""

    async def agent(task, ctx):
        await ctx.complete(ctx.prompt, model="user")
        await ctx.complete(ctx.prompt, extra_body={"model": "judge"})
        await ctx.complete(ctx.prompt)
        with contextlib.suppress(EngineRefused):
            await ctx.complete(ctx.prompt, model="none")

    engine = ScriptedEngine([*map(reply, "abc"), EngineRefused("no such model")])
    stage = Stage(engine, tasks(1), agent="mine", agents={"mine": agent}).run()
    assert [x.model for x in stage.of(r.ReplyReceived)] == ["user", "judge", ""]
    assert [x.model for x in stage.of(r.CallFailed)] == ["none"]
