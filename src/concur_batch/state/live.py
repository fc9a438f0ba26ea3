"""A rollout that has started and not ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from concur_batch.state.retrying import Tried


class RunningTool(NamedTuple):
    """A call that has not come back."""

    name: str
    since: float  # t of its start


@dataclass(slots=True, kw_only=True)
class LiveRollout:
    """As its records tell so far."""

    rollout: str
    engine: str
    attempt: int
    since: float  # t of its present phase
    started: float
    step: int = 0
    context_tokens: int = 0
    paused: bool = False
    yielded: bool = False  # without a slot, and not waiting for one: in a tool call
    tools: dict[int, RunningTool] = field(default_factory=dict)  # by n
    retrying: dict[int, Tried] = field(default_factory=dict)  # its model calls of which an attempt has failed, by n
    newest: int = 0  # n of the newest call that has come to its end, or of a tool call that has begun
    taken_up: bool = True  # in the present segment

    @property
    def tries(self) -> list[Tried]:
        """Model calls that are being tried again. One that the agent has given up, which no record tells, is behind its newest."""
        return [tried for n, tried in self.retrying.items() if n > self.newest]

    @property
    def phase(self) -> str:
        """Paused | tool | model."""
        return "paused" if self.paused else "tool" if self.tools else "model"
