"""An engine that says what it is told, for tests: of the runner, of agents, and of users' own code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from concur_batch.engine.base import Capabilities, EngineStats, Reply, Request
from concur_batch.errors import EngineRefused

Outcome = Reply | Exception
Script = Iterable[Outcome] | Callable[[Request], Outcome]


def reply(
    content: str | None = None,
    *calls: tuple[str, dict[str, Any] | str],
    prompt_tokens: int = 10,
    completion_tokens: int = 5,
    cached_tokens: int | None = 0,
    finish_reason: str | None = None,
    logprobs: Any = None,
    prompt_token_ids: list[int] | None = None,
    response_token_ids: list[int] | None = None,
) -> Reply:
    """A reply with this text and these tool calls (`("name", {"argument": 1})`), whose ids are `call_0`, `call_1` ..."""
    message: dict[str, Any] = {"role": "assistant"}
    if content is not None or not calls:
        message["content"] = content or ""
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode(),
                },
            }
            for i, (name, arguments) in enumerate(calls)
        ]
    return Reply(
        message=message,
        finish_reason=finish_reason or ("tool_calls" if calls else "stop"),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        model="scripted",
        logprobs=logprobs,
        prompt_token_ids=prompt_token_ids,
        response_token_ids=response_token_ids,
    )


class ScriptedEngine:
    """Implements `engine.base.Engine`. Deterministic; its time is the loop's.

    Args:
        script: outcomes in the order of the calls, or a function from the request to its outcome. An outcome that is an
            exception is raised. After the last outcome every call is refused.
        delay_s: seconds each call takes, or a function from the request to them.
        stats: what `stats` answers, or a function that makes it; an EngineError is raised.
        capabilities: what it claims to be.
        name: for records.

    Attributes:
        requests: all requests, in the order made.
        aborted: request ids given to `abort`.
        cancelled: request ids of calls that were cancelled while they waited.
        closed_sessions: ids given to `close_session`.
        is_ready: what `ready` answers; `probe` raises nothing and returns `capabilities` all the same.
        in_flight, most_in_flight: calls waiting now, and at most so far.
        is_closed: whether `aclose` was called.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        delay_s: float | Callable[[Request], float] = 0.0,
        stats: EngineStats | Exception | Callable[[], EngineStats] | None = None,
        capabilities: Capabilities | None = None,
        name: str = "scripted",
    ) -> None:
        self._script: Callable[[Request], Outcome] = script if callable(script) else _In(iter(script))
        self._delay_s = delay_s
        self._stats = stats if stats is not None else EngineStats()
        self.capabilities = capabilities or Capabilities(kind="scripted", models=("scripted",))
        self.name = name
        self.requests: list[Request] = []
        self.aborted: list[str] = []
        self.cancelled: list[str] = []
        self.closed_sessions: list[str] = []
        self.is_ready = True
        self.in_flight = self.most_in_flight = 0
        self.is_closed = False

    async def probe(self) -> Capabilities:
        """What was given."""
        return self.capabilities

    async def complete(self, request: Request) -> Reply:
        """The outcome for this request. It is chosen at once, and told after the delay."""
        self.requests.append(replace(request, messages=list(request.messages)))  # the agent's own list goes on growing
        outcome = self._script(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._delay_s(request) if callable(self._delay_s) else self._delay_s)
        except asyncio.CancelledError:
            self.cancelled.append(request.request_id)
            raise
        finally:
            self.in_flight -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def stats(self) -> EngineStats:
        """What was given."""
        stats = self._stats() if callable(self._stats) else self._stats
        if isinstance(stats, Exception):
            raise stats
        return stats

    async def ready(self) -> bool:
        """`is_ready`."""
        return self.is_ready

    async def abort(self, request_id: str) -> None:
        """Noted."""
        self.aborted.append(request_id)

    async def close_session(self, session_id: str) -> None:
        """Noted."""
        self.closed_sessions.append(session_id)

    async def aclose(self) -> None:
        """Noted."""
        self.is_closed = True


class _In:
    """Outcomes in order, then refusals."""

    def __init__(self, outcomes: Iterator[Outcome]) -> None:
        self._outcomes = outcomes

    def __call__(self, request: Request) -> Outcome:
        return next(self._outcomes, None) or EngineRefused(f"{request.rollout}: the script has no more outcomes")
