"""The built-in tools `shell` and `python`: programs run in the rollout's workspace."""

from __future__ import annotations

import math
import shutil
import signal
import sys

from concur_batch.errors import ToolError
from concur_batch.toolbox.base import ToolOutput
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.decorator import tool
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.call import CommandResult

ARGUMENT_BYTES = 120_000  # Linux takes 128 KiB in one argument
_SHELL = shutil.which("bash") or "/bin/sh"


@tool(timeout_s=math.inf)  # the command's own bounds hold, and tell what it printed until then
async def shell(command: str, context: ToolContext) -> ToolOutput:
    """Run a shell command (bash) in the workspace and return what it prints. Nothing it starts outlives it.

    Args:
        command: The command line, or several lines of script.
        context: Given by the runner.
    """
    data = command.encode("utf-8", "surrogatepass")
    if b"\0" in data:
        raise ToolError("a command cannot hold a NUL character")
    if len(data) > ARGUMENT_BYTES:
        raise ToolError(f"the command is longer than {ARGUMENT_BYTES:,} bytes; write it to a file and run that")
    return describe(await context.run([_SHELL, "-c", command]), context.limits)


@tool(timeout_s=math.inf)
async def python(code: str, context: ToolContext) -> ToolOutput:
    """Run a Python program in the workspace and return what it prints. Nothing is kept between calls but files.

    Args:
        code: The source of the program.
        context: Given by the runner.
    """
    return describe(await context.run([sys.executable, "-"], stdin=code.encode("utf-8", "replace")), context.limits)


def describe(result: CommandResult, limits: ToolLimits) -> ToolOutput:
    """What the model is told of a command: its output, and how it ended where that was not well."""
    if result.exit_code == 0:
        return ToolOutput(content=result.output or "(no output)", truncated=result.truncated)
    if result.exit_code is not None:
        return ToolOutput(
            content=f"exit code {result.exit_code}{_signal(result.exit_code, limits)}\n{result.output}",
            ok=False,
            error_class="tool",
            truncated=result.truncated,
        )
    why = {
        "wall": f"ran longer than {limits.wall_s:g} s",
        "cpu": f"used more than {limits.cpu_s} s of CPU time",
        "memory": f"used more than {limits.memory_mib} MiB of memory",
        "processes": f"had more than {limits.processes} processes at a time",
        "output": f"printed more than {limits.output_mib} MiB",
        "lost": "killed the process that stood over it",
        "failed": "left processes that cannot be killed",
    }.get(result.ended or "", "was stopped")
    return ToolOutput(
        content=f"The command {why} and was ended, with all that it had started. It printed:\n{result.output or '(nothing)'}",
        ok=False,
        error_class="tool" if result.ended == "wall" else "sandbox",
        truncated=result.truncated,
    )


def _signal(exit_code: int, limits: ToolLimits) -> str:
    if exit_code == 128 + signal.SIGXFSZ:
        return f" (wrote a file of more than {limits.file_size_mib} MiB)"
    try:
        return f" ({signal.Signals(exit_code - 128).name})" if exit_code > 128 else ""
    except ValueError:
        return ""
