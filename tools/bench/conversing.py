"""Agents that have more than one conversation, for control_conversations.py. Their turns are those of the task's script, in order."""

from __future__ import annotations

import asyncio

from concur_batch.agent.context import Context
from concur_batch.sim.tokens import marker
from concur_batch.task import Message, Task

_COMPACT_TOKENS = 16_000  # of a context, from which on an agent begins anew from a summary
_SUMMARY_TOKENS = 1_500
_QUESTION_TOKENS = 1_000  # of a sub-agent's
_ANSWER_TOKENS = 300
_JUDGED_TOKENS = 3_000
_STEPS = 3  # between two sub-agents
_SUB_STEPS = 4


async def compacting(task: Task, ctx: Context) -> str:
    """Begins anew from a summary whenever its context has become long, and never comes back."""
    messages = ctx.prompt
    prompt, summaries = list(messages), 0
    while tokens := await _step(ctx, messages):
        if tokens > _COMPACT_TOKENS:
            summaries += 1
            messages[:] = [*prompt, _user(_SUMMARY_TOKENS, f"{task.id}, summary {summaries}")]
    return "done"


async def judged(task: Task, ctx: Context) -> str:
    """After each step another call looks at what has been done, and at nothing else."""
    messages, system, steps = ctx.prompt, ctx.prompt[:1], 0
    while await _step(ctx, messages):
        steps += 1
        await ctx.complete([*system, _user(_JUDGED_TOKENS, f"{task.id}, judge {steps}")])
        messages.append(_user(_ANSWER_TOKENS, f"{task.id}, verdict {steps}"))
    return "done"


async def delegating(task: Task, ctx: Context) -> str:
    """Every few steps a sub-agent makes some of its own."""
    return await _with_sub_agents(task, ctx, 1)


async def delegating_widely(task: Task, ctx: Context) -> str:
    """Every few steps three sub-agents at once."""
    return await _with_sub_agents(task, ctx, 3)


async def _with_sub_agents(task: Task, ctx: Context, count: int) -> str:
    messages, system, rounds = ctx.prompt, ctx.prompt[:1], 0
    while True:
        for _ in range(_STEPS):
            if not await _step(ctx, messages):
                return "done"
        rounds += 1
        asked = [[*system, _user(_QUESTION_TOKENS, f"{task.id}, question {rounds}.{i}")] for i in range(count)]
        await asyncio.gather(*(_sub_agent(ctx, one) for one in asked))
        messages.append(_user(_ANSWER_TOKENS * count, f"{task.id}, answers {rounds}"))


async def _sub_agent(ctx: Context, messages: list[Message]) -> None:
    for _ in range(_SUB_STEPS):
        await _step(ctx, messages)


async def _step(ctx: Context, messages: list[Message]) -> int:
    """A model call and its tools. Returns the context's tokens; 0: there were no tools, so it was the last."""
    reply = await ctx.complete(messages)
    messages.append(reply.message)
    calls = reply.message.get("tool_calls")
    if not calls:
        return 0
    messages.extend(observation.message for observation in await ctx.call_all(calls))
    return reply.prompt_tokens + reply.completion_tokens


def _user(tokens: int, name: str) -> Message:
    return {"role": "user", "content": marker(tokens, name)}
