"""All tools of a run (the `Toolbox` of `toolbox/base.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from concur_batch.toolbox.base import ToolSpec
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.opened import OpenTools
from concur_batch.toolbox.processes.command import Commands
from concur_batch.toolbox.rate import RateGate
from concur_batch.toolbox.signature import Tool
from concur_batch.toolbox.threads import DaemonThreads


class Tools:
    """All tools of a run. `workspaces` is the folder that holds one folder per rollout; made when first needed."""

    def __init__(
        self, tools: Iterable[Tool], *, offered: Iterable[str], workspaces: Path, limits: ToolLimits | None = None
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._limits = limits or ToolLimits()
        self._workspaces = workspaces
        self._threads = DaemonThreads(self._limits.threads)
        self._commands = Commands(self._limits, workspaces)
        self._gates = {name: RateGate(tool.options.rate) for name, tool in self._tools.items() if tool.options.rate}
        self._specs = tuple(tool.spec for tool in self._tools.values())
        self._offered = tuple(offered)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """All that can be called, those offered first."""
        return self._specs

    @property
    def offered(self) -> tuple[str, ...]:
        """Names offered to a task that names no tools itself."""
        return self._offered

    @property
    def sandbox(self) -> str:
        """What `shell` and `python` are confined by: `bubblewrap`, or `unsafe`. Raises InputError where one demanded fails."""
        return self._commands.sandbox.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that who has commands run should read before the run."""
        warning = self._commands.sandbox.warning
        return () if warning is None else (warning,)

    def when_unconfined(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the warning, once, just before the first command that runs unconfined."""
        self._commands.tell_unconfined = tell

    def open(self, rollout: str, seed: int, attempt: int = 1) -> OpenTools:
        """The tools of one rollout. Makes nothing yet."""
        context = ToolContext(
            rollout=rollout,
            seed=seed,
            attempt=attempt,
            workspaces=self._workspaces,
            commands=self._commands,
            limits=self._limits,
        )
        return OpenTools(self._tools, self._gates, self._threads, context, self._commands)

    async def aclose(self) -> None:
        """End all commands and idle threads; a plain function that hangs is left behind in its daemon thread."""
        self._threads.close()
        await self._commands.aclose()
