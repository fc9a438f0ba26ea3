"""The agents and the tools of the batches against the real server. Gibberish calls no tools, so the agents do."""

from __future__ import annotations

import asyncio
from typing import Any

from concur_batch.agent.context import Context
from concur_batch.task import Task
from concur_batch.toolbox import ToolContext, tool

STEPS = 9
LONG_STEPS = 2
PAUSES_S = (0.2, 0.8)
LOG = "calls.log"
NOTHING_BUT_LENGTH = {"max_tokens": 64, "ignore_eos": True, "temperature": 0}
AS_LONG_AS_IT_LIKES = {"max_tokens": 400, "temperature": 0}  # the server reserves less than is generated in the end


@tool
def note(text: str, step: int, context: ToolContext) -> str:
    """Not repeatable: each call leaves a line behind. The observation is long enough to make the context grow."""
    with (context.workspace / LOG).open("a") as log:
        log.write(f"{step} {text}\n")
    return f"noted after step {step}. " + "what was seen there is told at length. " * 6


@tool(repeatable=True)
def steps_noted(context: ToolContext) -> str:
    """The steps that left a line, in order."""
    return " ".join(line.split()[0] for line in (context.workspace / LOG).read_text().splitlines())


async def walk(task: Task, ctx: Context) -> str:
    """Nine model calls with a tool call after each; the output says which of those took effect."""
    return await _walk(task, ctx, STEPS, NOTHING_BUT_LENGTH)


async def stroll(task: Task, ctx: Context) -> str:
    """The same with a pause after each call, so that some stand still at any moment."""
    return await _walk(task, ctx, STEPS, NOTHING_BUT_LENGTH, pauses_s=PAUSES_S)


async def tell(task: Task, ctx: Context) -> str:
    """Two long answers to a short question."""
    messages = [{"role": "user", "content": f"{task.id}: tell a long story. "}]
    return await _walk(task, ctx, LONG_STEPS, AS_LONG_AS_IT_LIKES, messages=messages)


async def _walk(
    task: Task,
    ctx: Context,
    steps: int,
    sampling: dict[str, Any],
    *,
    pauses_s: tuple[float, float] = (0.0, 0.0),
    messages: list[Any] | None = None,
) -> str:
    messages = messages or list(task.messages)
    for step in range(1, steps + 1):
        reply = await ctx.complete(messages, tools=[], **sampling)
        messages.append(reply.message)
        seen = await ctx.call("note", {"text": reply.message["content"][:8], "step": step})
        messages.append(seen.message)
        await asyncio.sleep(ctx.random.uniform(*pauses_s))
    return (await ctx.call("steps_noted", {})).content
