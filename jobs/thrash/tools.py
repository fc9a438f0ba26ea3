"""A tool that takes as long as it is told, and an observation of as many tokens as it is told."""

import asyncio

from concur_batch.sim.tokens import marker
from concur_batch.toolbox import ToolContext, tool


@tool(repeatable=True)
async def wait(seconds: float, tokens: int, ctx: ToolContext) -> str:
    """Wait.

    Args:
        seconds: How long.
        tokens: Length of the observation.
    """
    await asyncio.sleep(seconds)
    return marker(tokens, f"{ctx.rollout}/{ctx.random.random()}")
