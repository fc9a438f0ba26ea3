"""Touches: requests for one token that keep the KV of agents in tool calls from being the oldest in an engine's cache.

An engine that evicts by age cannot tell an agent that waits for its tool from one that has ended. Whoever sends the last
prompt again uses its KV: all of it is found in the cache, one token is computed, and its age is 0 again. Sent along with a
model call it shares that call's prefill, and nobody who is being answered stands still for it alone.

The reply to that prompt is not touched, and has to be computed again if it was evicted. It cannot be sent along: SGLang
renders a conversation that ends with an assistant's message otherwise (openai/serving_chat.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from concur_batch.engine.base import Engine, Request
from concur_batch.errors import EngineError

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_REST_S = 60.0  # without touches after one has failed: they are a help, and no reason to trouble an engine that has its own

# What a request asks of the reply alone. All other fields may change its prompt, or the part of the cache where its KV stands.
_OF_REPLY = (
    "best_of",
    "ebnf",
    "json_schema",
    "logprobs",
    "max_completion_tokens",
    "min_tokens",
    "n",
    "regex",
    "response_format",
    "return_prompt_token_ids",
    "return_token_ids",
    "structural_tag",
    "top_logprobs",
)


class Touches:
    """Those of one engine. Told of answered requests, since only what an agent has sent can be sent again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: dict[str, tuple[Request, int]] = {}  # by rollout: its last request, and the messages that it had then
        self._wanted: dict[str, None] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._numbers = 0
        self._counted = 0
        self._rests_until = 0.0

    def answered(self, request: Request) -> None:
        """The engine has the KV of this request."""
        self._last[request.rollout] = request, len(request.messages)

    def forget(self, rollout: str) -> None:
        """The agent has gone."""
        self._last.pop(rollout, None)
        self._wanted.pop(rollout, None)

    def want(self, rollouts: Iterable[str]) -> None:
        """The KV of these is to be touched at the next `begin`."""
        self._wanted.update(dict.fromkeys(rollouts))

    def calls(self, rollout: str) -> None:
        """The agent makes a call of its own, which uses its KV."""
        self._wanted.pop(rollout, None)

    def begin(self) -> bool:
        """Touch whoever is to be touched; who is being touched already, or has had no answer yet, is left out. Whether there was anybody."""
        if not self._wanted:
            return False
        before, wanted, self._wanted = self._numbers, self._wanted, {}
        loop = asyncio.get_running_loop()
        for rollout in wanted:
            last = self._last.get(rollout)
            if last is None or rollout in self._under_way or loop.time() < self._rests_until:
                continue
            request, messages = last
            self._numbers += 1
            self._under_way[rollout] = loop.create_task(
                self._touch(rollout, self._request(request, request.messages[:messages])), name=f"touch {rollout}"
            )
        return self._numbers > before

    def counted(self) -> int:
        """Touches begun since this was last asked."""
        since, self._counted = self._numbers - self._counted, self._numbers
        return since

    def _request(self, request: Request, messages: Sequence[dict[str, object]]) -> Request:
        sampling = {key: value for key, value in request.sampling.items() if key not in _OF_REPLY}
        return replace(
            request,
            request_id=f"{request.request_id}/touch-{self._numbers}",
            messages=list(messages),
            sampling={**sampling, "max_tokens": 1},
            touch=True,
        )

    async def _touch(self, rollout: str, request: Request) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._engine.complete(request)
        except (EngineError, TimeoutError) as error:
            _log.info(
                "%s: no touches for %g s, since one failed: %s", self._engine.name, _REST_S, str(error) or "no answer in time"
            )
            self._rests_until = loop.time() + _REST_S
        finally:
            self._under_way.pop(rollout, None)

    async def close(self) -> None:
        """Let go of those under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
