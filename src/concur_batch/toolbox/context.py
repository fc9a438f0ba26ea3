"""What a tool may know of the rollout that calls it."""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concur_batch.toolbox.limits import ToolLimits

if TYPE_CHECKING:
    from concur_batch.toolbox.processes.call import CommandResult
    from concur_batch.toolbox.processes.command import Commands


def workspace_name(rollout: str, attempt: int = 1) -> str:
    """A folder name for any rollout id: readable, safe, and different for different ids, also where case is ignored. A retried
    attempt has its own: what the failed one left would be in its way.
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", rollout)[:48].strip("_")
    digest = hashlib.sha256(rollout.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    name = f"{readable}-{digest}" if readable else digest
    return name if attempt == 1 else f"{name}-{attempt}"


class ToolContext:
    """Given to a tool that has a parameter of this type; the model does not see that parameter."""

    def __init__(
        self, *, rollout: str, seed: int, workspaces: Path, commands: Commands, limits: ToolLimits, attempt: int = 1
    ) -> None:
        self.rollout = rollout
        self.seed = seed
        self.limits = limits
        self._folder = workspaces / workspace_name(rollout, attempt)
        self._made = False
        self._random: random.Random | None = None
        self._commands = commands

    @property
    def workspace(self) -> Path:
        """The rollout's own folder, absolute; made when first asked for."""
        if not self._made:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder = self._folder.resolve()
            self._made = True
        return self._folder

    @property
    def random(self) -> random.Random:
        """The rollout's own source of randomness, from its seed."""
        if self._random is None:
            self._random = random.Random(self.seed)  # noqa: S311  (a seed that can be repeated is wanted)
        return self._random

    async def run(
        self, command: Sequence[str | os.PathLike[str]], *, stdin: bytes = b"", wall_s: float | None = None
    ) -> CommandResult:
        """Run a program in the workspace, confined and bounded as the built-in `shell` is. `wall_s`: seconds; None for the run's.

        Raises TypeError for a command that is no list of words, SandboxError where it cannot be started. A cancelled call leaves no
        process behind.
        """
        words = _words(command)
        return await self._commands.run(words, workspace=self.workspace, owner=self.rollout, stdin=stdin, wall_s=wall_s)


def _words(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(command, str | bytes | os.PathLike) or not command:
        raise TypeError('context.run takes the program and its arguments as a list: ["ls", "-l"], or ["bash", "-c", "ls | wc"]')
    words = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in command]
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"context.run takes text and paths for a program and its arguments; {word!r} is neither")
    return words
