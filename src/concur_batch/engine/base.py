"""What the runner asks of an engine. Implementations: `openai.py` (SGLang and other servers), `sim.py`, `scripted.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from concur_batch.control.base import EngineStats
from concur_batch.task import Message, ScriptedTurn

__all__ = ["Capabilities", "Engine", "EngineStats", "Reply", "Request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model call. `messages` and `tools` are in wire form and are not changed by the engine."""

    rollout: str
    step: int  # 1-based
    request_id: str  # SGLang's `rid`; unique per attempt
    model: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None  # OpenAI function schemas
    sampling: dict[str, Any] = field(default_factory=dict)  # merged into the body as it is
    turn: ScriptedTurn | None = None  # what a simulated engine answers
    session_id: str | None = None
    priority: int | None = None  # larger: more urgent
    n: int = 0  # of the call among all of its rollout; 0: it is of none
    bound_is_ours: bool = False  # nobody asked for the `max_tokens` in the sampling: it stands for a limit of the rollout
    touch: bool = False  # only to keep the KV of its prompt in the cache: nobody waits for the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One whole answer. Token counts are the engine's own; `cached_tokens` None: it does not tell."""

    message: Message  # role assistant; content and/or tool_calls, no null fields; appended to the history as it is
    finish_reason: str  # stop | length | tool_calls
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int = 0
    model: str = ""
    logprobs: Any = None  # as the server gave them, beside the message and no part of it; None: it gave none
    prompt_token_ids: list[int] | None = None  # what the model saw, where it was asked for; None: the server gave none
    response_token_ids: list[int] | None = None  # what the model generated


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What this engine is and can tell, found out once when it becomes ready."""

    kind: str = "openai"  # sglang | openai | sim | scripted
    version: str | None = None
    models: tuple[str, ...] = ()
    context_length: int | None = None  # tokens
    capacity_tokens: int | None = None
    host_tokens: int | None = None  # KV that fits into a host tier (HiCache); None: there is none, or it is not told
    statistics: str = "replies"  # loads | metrics | replies | none
    resident: bool = False  # resident and evicted tokens are told
    cache_report: bool | None = None  # replies carry cached_tokens; None: not known yet
    session_close: bool = False  # requests may name their session; one that is closed is evicted first
    priority: bool = False  # of waiting requests, those with the larger number go first
    refused: tuple[str, ...] = ()  # fields of a request that it said to have and did not take
    abort: bool = False
    speed: float = 1.0  # engine seconds per second of the loop; other than 1 only where the engine is simulated

    @property
    def room_tokens(self) -> int | None:
        """Every prompt stays below so many, as far as is told: context and KV pool hold no more. None: nothing is told."""
        return min((most for most in (self.context_length, self.capacity_tokens) if most is not None), default=None)

    def lists(self, model: str) -> bool:
        """Whether it says that it serves this one. An adapter may be named behind its base, as `base:adapter`."""
        return model in self.models or model.partition(":")[0] in self.models

    def may_serve(self, model: str) -> bool:
        """Whether it lists this one, or none at all."""
        return not self.models or self.lists(model)


class Engine(Protocol):
    """One model server. All calls may be made concurrently."""

    @property
    def name(self) -> str:
        """Short and unique in a run, for records and display; a URL without secrets, or `sim`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """As of the last `probe`."""
        ...

    async def probe(self) -> Capabilities:
        """Ask the server what it is. Raises EngineDown where it cannot be reached, EngineError where it is no model server."""
        ...

    async def complete(self, request: Request) -> Reply:
        """One attempt, no retry. Raises an EngineError; a cancelled call aborts the generation where that is possible."""
        ...

    async def stats(self) -> EngineStats:
        """One reading. Raises EngineError where none came."""
        ...

    async def ready(self) -> bool:
        """Whether it takes requests now; never raises, answers within seconds."""
        ...

    async def abort(self, request_id: str) -> None:
        """End that generation; unknown ids and engines without the means do nothing."""
        ...

    async def close_session(self, session_id: str) -> None:
        """Say that this agent's KV is dead; engines without the means do nothing."""
        ...

    async def aclose(self) -> None:
        """Close connections. No call may follow."""
        ...
