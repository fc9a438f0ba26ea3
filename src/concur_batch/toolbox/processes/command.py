"""Runs commands in a workspace: confined, bounded, and gone without a trace when they end, time out or are cancelled."""

from __future__ import annotations

import asyncio
import marshal
import resource
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from concur_batch.toolbox.limits import MEBIBYTE, ToolLimits
from concur_batch.toolbox.processes.call import Call, CommandResult
from concur_batch.toolbox.processes.environment import command_environment, temporary_folder
from concur_batch.toolbox.processes.link import WardenLink
from concur_batch.toolbox.processes.sandbox import Sandbox, find_sandbox

NOTES_CHARS = 300  # of an observation: exit code and the like beside the output


class Commands:
    """All commands of a run."""

    def __init__(self, limits: ToolLimits, workspaces: Path) -> None:
        self._limits = limits
        self._workspaces = workspaces
        self._link = WardenLink()
        self.tell_unconfined: Callable[[str], None] | None = None  # called once, with the sandbox's warning
        self._waiting: dict[Call, str] = {}  # with the owner
        self._calls: dict[asyncio.Task[CommandResult], tuple[str, Call]] = {}  # that run, with the owner

    @cached_property
    def sandbox(self) -> Sandbox:
        """What commands are confined by; found out when first asked for, in some ten milliseconds."""
        return find_sandbox(self._limits, self._workspaces)

    async def run(
        self, command: Sequence[str], *, workspace: Path, owner: str = "", stdin: bytes = b"", wall_s: float | None = None
    ) -> CommandResult:
        """Run a program to its end, or to the first bound it meets, `wall_s` seconds among them; it may have to wait before that.

        `owner`: the rollout that may `end` it. Raises SandboxError where it cannot be started. A cancelled call ends the whole tree
        before it returns.
        """
        tell, self.tell_unconfined = self.tell_unconfined, None
        if tell is not None and self.sandbox.warning is not None:
            tell(self.sandbox.warning)
        kept = max(1000, self._limits.max_output_chars - NOTES_CHARS)
        call = Call(kept_bytes=kept, max_bytes=self._limits.output_mib * MEBIBYTE)
        self._waiting[call] = owner
        try:
            await self._room.acquire()
        finally:
            del self._waiting[call]
        try:
            if call.stopped is not None:
                return CommandResult(output="", ended=call.stopped)
            request = self._request(command, workspace, call.token)
            return await self._run(call, owner, request, stdin, self._limits.wall_s if wall_s is None else wall_s)
        finally:
            self._room.release()

    @cached_property
    def _room(self) -> asyncio.Semaphore:
        """Each command holds two file descriptors while it runs: all of them no more than half of what there are."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return asyncio.Semaphore(sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft // 4))

    async def _run(self, call: Call, owner: str, request: bytes, stdin: bytes, wall_s: float) -> CommandResult:
        task = asyncio.create_task(call.run(self._link, request, stdin))
        self._calls[task] = (owner, call)
        task.add_done_callback(self._calls.pop)
        try:
            await asyncio.wait({task}, timeout=wall_s)
            if not task.done():
                call.stop("wall")
                await asyncio.wait({task})  # bounded by the call's patience with its supervisor
        except asyncio.CancelledError:
            call.stop("cancelled")
            await asyncio.wait({task})
            raise
        return task.result()

    async def end(self, owner: str | None = None) -> None:
        """End what still runs of one rollout, or of all; what waits does not begin."""
        for call, rollout in self._waiting.items():
            if owner is None or owner == rollout:
                call.stop("cancelled")
        tasks = []
        for task, (rollout, call) in list(self._calls.items()):
            if owner is None or owner == rollout:
                call.stop("cancelled")
                tasks.append(task)
        if tasks:
            await asyncio.wait(tasks)

    async def aclose(self) -> None:
        """End what still runs, then the warden."""
        await self.end()
        await self._link.aclose()

    def _request(self, command: Sequence[str], workspace: Path, token: str) -> bytes:
        for folder in (workspace, temporary_folder(workspace)):
            _make(folder)
        limits, sandbox = self._limits, self.sandbox
        request = {
            "argv": sandbox.wrap(command, workspace),
            "env": command_environment(workspace, sandbox.temporary(workspace), token),
            "cwd": str(workspace),
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_mib * MEBIBYTE,
            "file_bytes": limits.file_size_mib * MEBIBYTE,
            "processes": limits.processes,
        }
        return marshal.dumps(request)  # both ends are the same interpreter; json would make the warden's forks slower


def _make(folder: Path) -> None:
    """Anew where an unconfined command has put something else there."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
