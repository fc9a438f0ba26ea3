"""The tools of a simulated run: one, `wait`, which sleeps as long as a recorded or drawn tool took."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from concur_batch.errors import ToolError
from concur_batch.sim.tokens import marker
from concur_batch.toolbox.base import ToolOutput, ToolSpec

_LONGEST_S = 1e9  # what timers can hold

WAIT = ToolSpec(
    name="wait",
    description="Wait so many seconds; the observation has so many tokens.",
    parameters={
        "type": "object",
        "properties": {"seconds": {"type": "number", "minimum": 0}, "tokens": {"type": "integer", "minimum": 1}},
        "required": ["seconds", "tokens"],
        "additionalProperties": False,
    },
    repeatable=True,
)


class RecordedTools:
    """Implements `toolbox.base.Toolbox`. Touches no disk; runs in virtual time."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """`wait`."""
        return (WAIT,)

    @property
    def offered(self) -> tuple[str, ...]:
        """`wait`."""
        return (WAIT.name,)

    def open(self, rollout: str, seed: int, attempt: int = 1) -> OpenRecordedTools:  # noqa: ARG002 - there is nothing to draw
        """The tools of one rollout."""
        return OpenRecordedTools(rollout)

    async def aclose(self) -> None:
        """Nothing is left."""


class OpenRecordedTools:
    """`wait` for one rollout. Each observation is a content of its own."""

    def __init__(self, rollout: str) -> None:
        self._rollout = rollout
        self._calls = 0

    @property
    def workspace(self) -> Path:
        """Raises ToolError: recorded tools touch no files."""
        raise ToolError("a simulated run has no workspace; run the job itself with `concur run` to use files")

    async def call(self, name: str, arguments: str | dict[str, Any]) -> ToolOutput:
        """Sleep, then the observation. Bad arguments are told in the output, without waiting."""
        if name != WAIT.name:
            return _refused(f"There is no tool `{name}`. The tools are: {WAIT.name}.")
        try:
            wanted = msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            wanted = None
        if not isinstance(wanted, dict):
            return _refused("The arguments of `wait` should be a JSON object with `seconds` and `tokens`.")
        seconds, tokens = wanted.get("seconds"), wanted.get("tokens")
        # a truth value is a number to Python, not here
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_S:
            return _refused(f"`seconds` is {seconds!r}; it should be a number from 0 to {_LONGEST_S:g}.")
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
            return _refused(f"`tokens` is {tokens!r}; it should be a whole number, 1 or more.")
        key = f"{self._rollout}/obs{self._calls}"
        self._calls += 1
        await asyncio.sleep(seconds)
        return ToolOutput(content=marker(tokens, key))

    async def aclose(self) -> None:
        """Nothing is left."""


def _refused(content: str) -> ToolOutput:
    return ToolOutput(content=content, ok=False, error_class="input")
