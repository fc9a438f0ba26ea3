"""The seam for a model of the prefix cache in the simulated engine."""

from __future__ import annotations

from typing import Protocol

from concur_batch.engine.base import Request


class CacheModel(Protocol):
    """Which part of a prompt is in the cache. Pure; called in the order of events, without clock."""

    def prefill(self, request: Request, prompt_tokens: int) -> int:
        """A request starts: how many of its prompt's tokens need not be computed, 0..prompt_tokens - 1."""
        ...

    def finish(self, request: Request, total_tokens: int) -> None:
        """It has ended, and prompt and reply together were so many tokens."""
        ...

    def close(self, session_id: str) -> None:
        """This agent will not come back."""
        ...


class EverlastingCache:
    """Never evicts: every token of an agent's own history hits, whatever else runs. No prefix is shared between agents.

    Good enough to try out jobs and tools. It shows nothing of what happens when the cache is too small.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}  # agent -> tokens of its conversation

    def prefill(self, request: Request, prompt_tokens: int) -> int:
        """All that this agent's earlier calls have left, but never the whole prompt: SGLang always computes one token."""
        return max(0, min(self._known.get(_agent(request), 0), prompt_tokens - 1))

    def finish(self, request: Request, total_tokens: int) -> None:
        """Keep it all."""
        self._known[_agent(request)] = total_tokens

    def close(self, session_id: str) -> None:
        """Forget the agent, so that memory holds living ones only."""
        self._known.pop(session_id, None)


def _agent(request: Request) -> str:
    return request.session_id or request.rollout
