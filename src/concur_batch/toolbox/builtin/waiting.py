"""The built-in tool `wait`: stands for any tool of which only the time is known."""

from __future__ import annotations

import asyncio
import math

from concur_batch.errors import ToolError
from concur_batch.toolbox.decorator import tool

_LONGEST_S = 1e9  # what timers can hold


@tool(repeatable=True, timeout_s=math.inf)
async def wait(seconds: float) -> str:
    """Wait.

    Args:
        seconds: How long.
    """
    if not 0 <= seconds <= _LONGEST_S:
        raise ToolError(f"seconds is {seconds:g}; it should be a number from 0 to {_LONGEST_S:g}")
    await asyncio.sleep(seconds)
    return f"waited {seconds:g} s"
