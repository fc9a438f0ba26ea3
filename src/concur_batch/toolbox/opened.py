"""The tools of one rollout (the `OpenToolbox` of `toolbox/base.py`)."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from concur_batch.errors import LimitReached, ToolError
from concur_batch.toolbox.arguments import BadArgumentsError
from concur_batch.toolbox.base import ToolOutput
from concur_batch.toolbox.cancellable import cancellable
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.outputs import as_text, failure, writable
from concur_batch.toolbox.processes.command import Commands
from concur_batch.toolbox.rate import RateGate
from concur_batch.toolbox.signature import Tool
from concur_batch.toolbox.threads import Begun, DaemonThreads
from concur_batch.toolbox.truncate import head_and_tail

_log = logging.getLogger("concur_batch.toolbox")


class OpenTools:
    """The tools of one rollout."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        gates: Mapping[str, RateGate],
        threads: DaemonThreads,
        context: ToolContext,
        commands: Commands,
    ) -> None:
        self._tools = tools
        self._gates = gates
        self._threads = threads
        self._context = context
        self._commands = commands

    @property
    def workspace(self) -> Path:
        """The rollout's own folder; made when first asked for."""
        return self._context.workspace

    async def call(self, name: str, arguments: str | dict[str, Any]) -> ToolOutput:
        """Run one call. Whatever goes wrong is told in the output; only cancelling raises."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools)
            return ToolOutput(content=f"There is no tool `{name}`. The tools are: {known}.", ok=False, error_class="input")
        try:
            values, repaired = tool.arguments.parse(arguments)
        except BadArgumentsError as error:
            return failure(str(error), "input")
        except Exception as error:  # noqa: BLE001  (validators of a user's own types may raise anything)
            return self._raised(tool, error, repaired=False)
        if tool.context is not None:
            values[tool.context] = self._context
        time = asyncio.get_running_loop().time
        began = called = time()
        gate = self._gates.get(name)
        if gate is not None:
            await gate.enter()
            began = time()
        function = functools.partial(tool.function, **values)
        begun: Begun | None = None
        if tool.is_async:
            work = _awaited(function)
        else:
            begun = await self._threads.begin(function)
            work, began = _outcome(begun), begun.time
        return replace(await self._bounded(tool, work, began, begun, repaired=repaired), wait_s=began - called)

    async def aclose(self) -> None:
        """End what is left of this rollout's processes."""
        await self._commands.end(self._context.rollout)

    async def _bounded(
        self, tool: Tool, work: Coroutine[Any, Any, Any], began: float, begun: Begun | None, *, repaired: bool
    ) -> ToolOutput:
        """What work that began then (`begun`: in a thread) comes to within the tool's limit."""
        limit_s = tool.options.timeout_s or self._context.limits.timeout_s
        try:
            result = await _within(None if math.isinf(limit_s) else began + limit_s, work, begun)
            return self._returned(tool, result, repaired=repaired)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._raised(tool, error, repaired=repaired)  # the tool's own doing: nobody cancelled this call
        except _GivenUp:
            return failure(
                f"The tool `{tool.spec.name}` did not end within {limit_s:g} s and was given up.", "tool", repaired=repaired
            )
        except (LimitReached, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  (whatever else a tool raises is the call's outcome)
            return self._raised(tool, error, repaired=repaired)

    def _returned(self, tool: Tool, result: Any, *, repaired: bool) -> ToolOutput:
        output = result if isinstance(result, ToolOutput) else ToolOutput(content=as_text(result))
        return ToolOutput(
            content=(cut := head_and_tail(writable(output.content), self._most(tool))).text,
            ok=output.ok,
            error_class=output.error_class,
            repaired=repaired,
            truncated=output.truncated or cut.truncated,
        )

    def _raised(self, tool: Tool, error: BaseException, *, repaired: bool) -> ToolOutput:
        _log.debug("tool %s of %s raised", tool.spec.name, self._context.rollout, exc_info=error)
        try:
            told = str(error)
        except Exception:  # noqa: BLE001  (an error that cannot even say what it is)
            told = ""
        text = told if isinstance(error, ToolError) else f"{type(error).__name__}: {told}" if told else type(error).__name__
        cut = head_and_tail(writable(text), self._most(tool))
        kind = error.error_class if isinstance(error, ToolError) else "tool"
        return ToolOutput(content=cut.text, ok=False, error_class=kind, repaired=repaired, truncated=cut.truncated)

    def _most(self, tool: Tool) -> int:
        return tool.options.max_output_chars or self._context.limits.max_output_chars


class _GivenUp(Exception):
    """The work did not end in time."""


async def _within(deadline: float | None, work: Coroutine[Any, Any, Any], begun: Begun | None) -> Any:
    """What the work comes to. Raises _GivenUp at the deadline, unless it had ended while the event loop was held up until then."""
    clock = asyncio.timeout_at(deadline)
    try:
        async with clock:
            return await work
    except TimeoutError:
        if not clock.expired():
            raise
        if begun is None or not begun.is_done:
            raise _GivenUp from None
    result = begun.result()
    if inspect.isawaitable(result):
        raise _GivenUp
    return result


async def _outcome(begun: Begun) -> Any:
    """What a plain function returned. One that stands before an async function, as decorators do, returns what is to be awaited."""
    result = await begun.outcome()
    return await cancellable(result) if inspect.isawaitable(result) else result


async def _awaited(function: Callable[[], Awaitable[Any]]) -> Any:
    return await cancellable(function())
