"""Each rollout has its task for itself: what an agent changes in it, no other sees, and the results have the task as it was."""

import pytest
from stage import Stage, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.results.index import Trace
from concur_batch.results.rows import result_row


async def adds_to_the_prompt(task, ctx):
    messages = ctx.prompt
    messages[0]["content"].append({"type": "text", "text": f"for seed {ctx.seed}"})
    await ctx.complete(messages)
    return str(len(ctx.prompt[0]["content"]))


async def adds_to_the_task(task, ctx):
    task.messages[0]["content"].append({"type": "text", "text": f"for seed {ctx.seed}"})
    await ctx.complete(list(task.messages))
    return str(len(ctx.task.messages[0]["content"]) - 1)


async def adds_beside(task, ctx):
    task.metadata.setdefault("seen", []).append(ctx.seed)
    task.metadata["tags"].append(ctx.seed)
    task.fields["choices"].append(ctx.seed)
    task.target["among"].append(ctx.seed)
    await ctx.complete([{"role": "user", "content": f"for seed {ctx.seed}"}])
    found = (task.metadata["seen"], task.metadata["tags"][1:], task.fields["choices"][1:], task.target["among"][1:])
    return str(len({len(part) for part in found}))


@pytest.mark.parametrize("agent", [adds_to_the_prompt, adds_to_the_task, adds_beside])
def test_rollouts_share_nothing_that_can_be_changed(agent):
    part = {"type": "text", "text": "hello"}
    given = {"metadata": {"tags": ["x"]}, "fields": {"choices": ["x"]}, "target": {"among": ["x"]}}
    job = tasks(1, **given)
    job[0].messages[0]["content"] = [part]
    stage = Stage(ScriptedEngine(lambda _: reply("?"), delay_s=1.0), job, n=4, agents={"a": agent}, agent="a").run()
    assert {x.output for x in stage.of(r.RolloutFinished)} == {"1"}
    for request in stage.engine.requests:
        assert [str(message["content"]).count("for seed") for message in request.messages] == [1]
    for k, request in enumerate(sorted(stage.engine.requests, key=lambda request: request.rollout)):
        name = f"t0#{k}"
        row = result_row(name, Trace(index=0, k=k), (x for x in stage.records if getattr(x, "rollout", None) == name))
        assert row.messages[:-1] == request.messages
        assert (row.metadata, row.target) == (given["metadata"], given["target"]) == ({"tags": ["x"]}, {"among": ["x"]})


def test_a_row_may_be_nested_deeply():
    nested = {}
    for _ in range(450):
        nested = {"in": [nested]}
    stage = Stage(ScriptedEngine(lambda _: reply("?")), tasks(2, metadata=nested)).run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["completed"] * 2
