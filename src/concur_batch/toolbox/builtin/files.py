"""The built-in tools `read_file` and `write_file`, confined to the rollout's workspace."""

from __future__ import annotations

import io
import os

from concur_batch.errors import ToolError
from concur_batch.toolbox.confined import open_inside
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.decorator import tool
from concur_batch.toolbox.limits import MEBIBYTE


@tool(repeatable=True)
def read_file(path: str, context: ToolContext, first_line: int = 1, lines: int | None = None) -> str:
    """Read a text file of the workspace.

    Args:
        path: Path of the file, relative to the workspace.
        context: Given by the runner.
        first_line: Number of the first line to return, from 1.
        lines: How many lines to return; all that follow if left out.
    """
    if first_line < 1 or (lines is not None and lines < 0):
        raise ToolError("first_line counts from 1, and lines is not negative")
    most = context.limits.max_file_mib * MEBIBYTE
    with os.fdopen(open_inside(context.workspace, path, os.O_RDONLY), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ToolError(f"{path} is larger than {context.limits.max_file_mib} MiB; look at parts of it with other tools")
    text = data.decode("utf-8", "replace")
    if first_line == 1 and lines is None:
        return text
    chosen = io.StringIO(text, newline="\n").readlines()[first_line - 1 :]  # as grep -n and compilers count them
    return "".join(chosen if lines is None else chosen[:lines])


@tool
def write_file(path: str, content: str, context: ToolContext, *, append: bool = False) -> str:
    """Write a text file in the workspace; folders on the way are made, an existing file is replaced.

    Args:
        path: Path of the file, relative to the workspace.
        context: Given by the runner.
        content: The text to write.
        append: Add to the end of the file instead of replacing it.
    """
    data = content.encode("utf-8", "replace")
    most = context.limits.max_file_mib * MEBIBYTE
    descriptor = open_inside(context.workspace, path, os.O_WRONLY | os.O_CREAT)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        before = os.fstat(descriptor).st_size if append else 0
        if before + len(data) > most:
            raise ToolError(f"{path} would be larger than {context.limits.max_file_mib} MiB; nothing was written")
        if not append:
            file.truncate(0)
        file.seek(before)
        written = 0
        while written < len(data):
            written += file.write(data[written:])
    return f"wrote {len(data):,} bytes to {path}"
