"""The agent and the tools of the batch against the real server. Gibberish calls no tools, so the agent does."""

from __future__ import annotations

from concur_batch.agent.context import Context
from concur_batch.task import Task
from concur_batch.toolbox import ToolContext, tool

STEPS = 9
LOG = "calls.log"
NOTHING_BUT_LENGTH = {"max_tokens": 64, "ignore_eos": True, "temperature": 0}


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
    messages = list(task.messages)
    for step in range(1, STEPS + 1):
        reply = await ctx.complete(messages, tools=[], **NOTHING_BUT_LENGTH)
        messages.append(reply.message)
        seen = await ctx.call("note", {"text": reply.message["content"][:8], "step": step})
        messages.append(seen.message)
    return (await ctx.call("steps_noted", {})).content
