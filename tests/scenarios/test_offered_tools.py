"""Which tools a model may call: those that it was offered where it asked for them."""

import asyncio

import pytest
from stage import Stage, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply

MEANT = 'give its name or {"type": "function", "function": {"name": ..., "parameters": ...}}'


def asks(request):
    """Each sub-agent once for `look` and once for `once`, under ids that others have, too; then an answer."""
    done = sum(message["role"] == "assistant" for message in request.messages)
    if done == 2 or request.messages[0]["content"] == "sum up":
        return reply("done")
    return reply(None, (("look", "once")[done], {"by": request.messages[0]["content"]}))


async def sub(ctx, name, tools, copies):
    messages = [{"role": "user", "content": name}]
    while True:
        said = (await ctx.complete(messages, tools=tools)).message
        messages.append(said)
        if not said.get("tool_calls"):
            return name
        calls = [dict(call) for call in said["tool_calls"]] if copies else said["tool_calls"]
        await asyncio.sleep(1.0)  # the others have been answered by then
        messages += [seen.message for seen in await ctx.call_all(calls)]


def called(stage):
    return sorted((name, arguments["by"]) for _, name, arguments in map(parsed, stage.tools.ran))


def parsed(ran):
    import json

    return (*ran[:2], json.loads(ran[2]) if isinstance(ran[2], str) else ran[2])


def test_sub_agents_have_tools_of_their_own():
    async def planner(task, ctx):
        teams = (("a", ["look"]), ("b", ["once"]), ("c", []))
        await asyncio.gather(*(sub(ctx, name, tools, copies=False) for name, tools in teams))
        return (await ctx.complete([{"role": "user", "content": "sum up"}], tools=[])).message["content"]

    stage = Stage(ScriptedEngine(asks, delay_s=1.0), tasks(1), agents={"p": planner}, agent="p").run()
    assert called(stage) == [("look", "a"), ("once", "b")]
    refused = [x.output for x in stage.of(r.ToolFinished) if not x.ok]
    assert sorted(refused) == sorted(
        [
            "There is no tool `once`. The tools are: look.",
            "There is no tool `look`. The tools are: once.",
            "There is no tool `look`. The tools are: none.",
            "There is no tool `once`. The tools are: none.",
        ]
    )


@pytest.mark.parametrize("copies", [False, True])
def test_what_is_offered_meanwhile_changes_nothing(copies):
    async def planner(task, ctx):
        first = asyncio.create_task(sub(ctx, "a", ["look", "once"], copies))
        await asyncio.sleep(1.5)  # the first has been answered
        await ctx.complete([{"role": "user", "content": "sum up"}], tools=[])
        return await first

    stage = Stage(ScriptedEngine(asks, delay_s=1.0), tasks(1), agents={"p": planner}, agent="p").run()
    assert called(stage) == [("look", "a"), ("once", "a")]


def test_a_call_of_the_agents_own_may_be_for_what_was_offered_last():
    async def own(task, ctx):
        await ctx.complete(ctx.prompt, tools=["look"])
        made = [{"id": f"own {name}", "function": {"name": name, "arguments": {"by": "me"}}} for name in ("look", "once")]
        return " / ".join(seen.content for seen in await ctx.call_all(made))

    stage = Stage(ScriptedEngine(lambda _: reply("?")), tasks(1), agents={"o": own}, agent="o").run()
    assert called(stage) == [("look", "me")]


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ("look", "give a list of names and schemas, not a str"),
        ({"type": "function", "function": {"name": "look"}}, "give a list of names and schemas, not a dict"),
        (1, "give a list of names and schemas, not a int"),
        (["look", {"type": "function"}], f"{{'type': 'function'}} is no tool; {MEANT}"),
        ([{"name": "look"}], f"{{'name': 'look'}} is no tool; {MEANT}"),
        ([{"function": "look"}], f"{{'function': 'look'}} is no tool; {MEANT}"),
        ([{"function": {"parameters": {}}}], f"{{'function': {{'parameters': {{}}}}}} is no tool; {MEANT}"),
        ([None], f"None is no tool; {MEANT}"),
    ],
)
def test_what_is_no_list_of_tools_is_told(tools, told):
    async def agent(task, ctx):
        return (await ctx.complete(ctx.prompt, tools=tools)).message["content"]

    stage = Stage(ScriptedEngine([reply("so")]), tasks(1), agents={"a": agent}, agent="a").run()
    (end,) = stage.of(r.RolloutFinished)
    assert (end.error.error_class, end.error.message) == ("agent", f"complete(tools=...): {told}")
    assert not stage.engine.requests
