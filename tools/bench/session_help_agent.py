"""The agent of session_help.py: a conversation that grows, with pauses of which one in five is long."""

from __future__ import annotations

import asyncio
import random

from concur_batch.agent.context import Context
from concur_batch.task import Task

TURNS = 6
FIRST_CHARS, MORE_CHARS, REPLY_TOKENS = 1500, 226, 64  # one character is one token of the tiny model
LONG_S, LONG_SHARE = 6.0, 0.2


def words(source: random.Random, chars: int) -> str:
    """Text that shares no prefix with any other."""
    return "".join(source.choices("abcdefghijklmnopqrst ", k=chars))


def pause_s(source: random.Random) -> float:
    """Seconds that a tool takes."""
    return source.uniform(0.2, 0.6) + (LONG_S if source.random() < LONG_SHARE else 0.0)


async def walk(task: Task, ctx: Context) -> str:
    """Six model calls; as long as a tool would take, it sleeps between them."""
    source = random.Random(f"{task.id}/{ctx.seed}")
    messages = [{"role": "user", "content": words(source, FIRST_CHARS)}]
    for turn in range(TURNS):
        reply = await ctx.complete(messages, tools=[], max_tokens=REPLY_TOKENS, ignore_eos=True, temperature=0)
        if turn + 1 < TURNS:
            await asyncio.sleep(pause_s(source))
            messages += [reply.message, {"role": "user", "content": words(source, MORE_CHARS)}]
    return "done"
