"""One request inside the simulated engine, and what becomes of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from concur_batch.sim.runs import Run, head

if TYPE_CHECKING:
    from concur_batch.sim.radix import Node

FinishReason: TypeAlias = Literal["stop", "length", "abort"]


NO_PRIORITY = -sys.maxsize - 1  # of a request that names none: behind all others (scheduler.py: _set_or_validate_priority)


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """A request. The upper fields are given, the lower ones are the engine's. Tokens; times in engine seconds."""

    rid: str
    prompt: list[Run]
    output: list[Run]  # what the model will say; the engine schedules as if it did not know
    max_new_tokens: int | None = None  # None: up to the end of the context
    ignore_eos: bool = False
    priority: int = 0  # larger is more urgent
    session: str | None = None
    streamed: bool = False  # every token is to be told when it comes

    prompt_tokens: int = 0
    output_tokens: int = 0  # planned, after max_new_tokens and the pool have cut it
    max_new: int = 0
    generated: int = 0
    cached_tokens: int = 0  # at its first admission
    host_cached_tokens: int = 0  # of these, loaded from host memory
    arrival: int = 0  # serial
    arrived_at: float = 0.0
    admitted_at: float | None = None
    first_token_at: float | None = None
    finished_at: float | None = None
    finish_reason: FinishReason | None = None
    message: str | None = None  # why it was aborted
    asked: int = 0  # tokens that it would have had to compute when its admission was last tried
    retractions: int = 0
    recomputed_tokens: int = 0  # prefilled again after retractions

    node: Node | None = field(default=None, repr=False)  # the end of its locked path
    depth: int = 0  # tokens down to that node
    prefilled: int = 0  # tokens whose KV it has, tree and private ones together
    fill: int = 0  # tokens that its prefill has to reach
    held: int = 0  # private slots

    @property
    def length(self) -> int:
        """Prompt and what has been generated."""
        return self.prompt_tokens + self.generated

    def sequence(self) -> list[Run]:
        """All tokens so far."""
        return [*self.prompt, *head(self.output, self.generated)] if self.generated else self.prompt
