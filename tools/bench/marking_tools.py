"""A tool whose effect can be counted: one line per call, in the file that BENCH_MARKS names."""

from __future__ import annotations

import os

from concur_batch.toolbox import tool


@tool
async def noop(note: str) -> str:
    """Take note of something.

    Args:
        note: what to take note of
    """
    marks = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(marks, f"{note}\n".encode())
    finally:
        os.close(marks)
    return f"noted {note}"
