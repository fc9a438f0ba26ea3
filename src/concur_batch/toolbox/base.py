"""What the runner asks of tools. A toolbox is opened once per rollout: own workspace folder, own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool as the model sees it, and how a call of it is run."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON schema of the arguments object
    repeatable: bool = False  # may run again after an interrupted call

    def schema(self) -> dict[str, Any]:
        """The OpenAI function schema that is offered to the model."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


FINISH_SPEC = ToolSpec(
    name="finish",
    description="End the task with this answer.",
    parameters={
        "type": "object",
        "properties": {"answer": {"type": "string", "description": "The final answer."}},
        "required": ["answer"],
    },
)
"""Built in, and no tool that is run: a call of it ends the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """What one call came to. `content` is what the model sees, also when it failed."""

    content: str
    ok: bool = True
    error_class: str | None = None  # tool | sandbox | input (bad arguments) where not ok
    repaired: bool = False  # the arguments were not strict JSON and have been repaired
    truncated: bool = False
    wait_s: float = 0.0  # before it was begun: for the tool's rate, for a thread


class OpenToolbox(Protocol):
    """The tools of one rollout."""

    @property
    def workspace(self) -> Path:
        """The rollout's own folder; exists once asked for."""
        ...

    async def call(self, name: str, arguments: str | dict[str, Any]) -> ToolOutput:
        """Run one call; `arguments` as the model wrote them (JSON text) or ready.

        Everything a tool can do wrong (bad arguments, raising, time-out, too much output) becomes a ToolOutput. Concurrent
        calls are allowed. A cancelled call leaves no process behind.
        """
        ...

    async def aclose(self) -> None:
        """End what is left of this rollout's processes."""
        ...


class Toolbox(Protocol):
    """All tools of a run."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """All that can be called, in the order to offer them."""
        ...

    @property
    def offered(self) -> Sequence[str]:
        """Names offered to a task that names no tools itself."""
        ...

    def open(self, rollout: str, seed: int, attempt: int = 1) -> OpenToolbox:
        """The tools of one rollout. Makes the workspace when first needed, of each attempt its own; cheap."""
        ...

    async def aclose(self) -> None:
        """End everything that is left."""
        ...
