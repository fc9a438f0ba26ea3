"""The tool that costs nothing: what is measured is the program around it."""

from __future__ import annotations

from concur_batch.toolbox import tool


@tool
async def noop(note: str) -> str:
    """Take note of something.

    Args:
        note: what to take note of
    """
    return f"noted {note}"
