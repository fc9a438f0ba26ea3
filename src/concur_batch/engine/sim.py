"""The embedded engine: replays each task's script, at a plausible speed. It never invents an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from concur_batch.engine.base import Capabilities, EngineStats, Reply, Request
from concur_batch.engine.cache import CacheModel, EverlastingCache
from concur_batch.engine.tokens import count_content, count_message, count_text, marker
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused
from concur_batch.task import Message, ScriptedTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a server is. The default is roughly Qwen3-8B in bf16 on one H100.

    Fitted to public kernel measurements of the like-sized Llama-3.1-8B at 4 k of context (AIConfigurator's tables for SGLang
    0.5.9: a decode step of 6.6, 12.1 and 29.5 ms with 1, 32 and 128 running requests; prefill of 44 to 51 thousand tokens
    per second), with 2.5 ms of engine overhead per step added.
    """

    capacity_tokens: int = 367_000  # KV pool
    context_length: int = 131_072  # tokens; the model's own 40,960 extended by YaRN, as its card describes
    prefill_tokens_per_s: float = 45_000.0
    step_s: float = 8.9e-3  # one decode step with nobody running ...
    step_per_request_s: float = 0.18e-3  # ... and what each running request adds


class SimEngine:
    """One server in this process. Implements `engine.base.Engine`; runs unchanged in virtual time.

    Prefills one prompt after the other, decodes all running requests together, and lets nobody in whose context does not fit
    into what the running ones leave of the pool. What it does not know is eviction: see `engine.cache`.

    Args:
        name: for records and display.
        speed: how fast the server is that it stands for.
        times: so many times faster than that.
        cache: which tokens hit; by default all of an agent's own history.
        chars_per_token: for texts without a token count.
    """

    def __init__(
        self,
        name: str = "sim",
        *,
        speed: Speed | None = None,
        times: float = 1.0,
        cache: CacheModel | None = None,
        chars_per_token: float = 4.0,
    ) -> None:
        self._name = name
        self._speed = speed or Speed()
        self._times = times
        self._cache: CacheModel = cache or EverlastingCache()
        self._chars_per_token = chars_per_token
        self._capabilities = Capabilities(
            kind="sim",
            models=("sim",),
            context_length=self._speed.context_length,
            capacity_tokens=self._speed.capacity_tokens,
            statistics="loads",
            cache_report=True,
            session_close=True,
            abort=True,
        )
        self._locked_tokens = 0
        self._running: dict[str, asyncio.Future[None]] = {}  # request_id -> done when the reply is
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()  # tokens needed, first come first served
        self._prefill_free_at = 0.0  # loop time
        self._prefilled_tokens = 0
        self._prefill_busy_s = 0.0
        self._tools: tuple[list[dict[str, Any]] | None, int] = (None, 0)  # the last list offered and its tokens

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Always the same."""
        return self._capabilities

    async def probe(self) -> Capabilities:
        """Nothing to ask."""
        return self.capabilities

    async def complete(self, request: Request) -> Reply:
        """Replay `request.turn`. Raises EngineRefused where there is none."""
        turn = request.turn
        if turn is None:
            raise EngineRefused(
                f"{request.rollout}: the embedded engine replays the task's `script`, which has no turn for step {request.step}; "
                "lengthen the script, or name a model server with --engine"
            )
        prompt = self._count_prompt(request)
        if prompt >= self._speed.context_length:
            raise ContextLengthExceeded(
                f"{self._name}: the prompt ({prompt} tokens) is longer than the context ({self._speed.context_length} tokens)"
            )
        message = _message(turn, request)
        completion = self._count_completion(turn, message)
        need = min(prompt + completion, self._speed.capacity_tokens)
        await self._enter(need)
        try:
            cached = self._cache.prefill(request, prompt)
            await self._generate(request, prompt - cached, completion)
            self._cache.finish(request, prompt + completion)
        finally:
            self._leave(need)
        return Reply(
            message=message,
            finish_reason=turn.finish_reason or ("tool_calls" if turn.tool_calls else "stop"),
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            model="sim",
        )

    async def stats(self) -> EngineStats:
        """As of now."""
        return EngineStats(
            capacity_tokens=self._speed.capacity_tokens,
            locked=self._locked_tokens / self._speed.capacity_tokens,
            running_requests=len(self._running),
            queued_requests=len(self._queue),
            prefill_tokens_total=self._prefilled_tokens,
            prefill_busy_seconds_total=self._prefill_busy_s,
            epoch=asyncio.get_running_loop().time(),
        )

    async def ready(self) -> bool:
        """Always."""
        return True

    async def abort(self, request_id: str) -> None:
        """The call raises EngineBusy, as on SGLang an aborted reply is none."""
        done = self._running.get(request_id)
        if done is not None and not done.done():
            done.set_exception(EngineBusy(f"{self._name}: the request was aborted"))

    async def close_session(self, session_id: str) -> None:
        """The cache model may forget it."""
        self._cache.close(session_id)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _generate(self, request: Request, computed_tokens: int, completion_tokens: int) -> None:
        """Wait as long as prefill and decoding take."""
        loop, speed = asyncio.get_running_loop(), self._speed
        now = loop.time()
        prefill_s = computed_tokens / speed.prefill_tokens_per_s / self._times
        self._prefill_free_at = max(now, self._prefill_free_at) + prefill_s
        self._prefilled_tokens += computed_tokens
        self._prefill_busy_s += prefill_s
        step_s = speed.step_s + speed.step_per_request_s * (len(self._running) + 1)
        ready_at = self._prefill_free_at + completion_tokens * step_s / self._times
        done: asyncio.Future[None] = loop.create_future()
        self._running[request.request_id] = done
        timer = loop.call_at(ready_at, _settle, done)
        try:
            await done
        finally:
            timer.cancel()
            del self._running[request.request_id]

    async def _enter(self, tokens: int) -> None:
        """Wait until so many tokens are free of locks."""
        if not self._queue and self._locked_tokens + tokens <= self._speed.capacity_tokens:
            self._locked_tokens += tokens
            return
        place = (tokens, asyncio.get_running_loop().create_future())
        self._queue.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
            else:  # let in just before it was cancelled
                self._locked_tokens -= tokens
            self._let_in()
            raise

    def _leave(self, tokens: int) -> None:
        self._locked_tokens -= tokens
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and self._locked_tokens + self._queue[0][0] <= self._speed.capacity_tokens:
            tokens, place = self._queue.popleft()
            self._locked_tokens += tokens
            _settle(place)

    def _count_prompt(self, request: Request) -> int:
        offered, tools = self._tools
        if request.tools is not offered:
            tools = count_text(msgspec.json.encode(request.tools).decode(), self._chars_per_token) if request.tools else 0
            self._tools = (request.tools, tools)
        return tools + sum(count_message(message, self._chars_per_token) for message in request.messages)

    def _count_completion(self, turn: ScriptedTurn, message: Message) -> int:
        if turn.tokens is not None:
            return turn.tokens
        return max(1, count_content(message.get("content"), message.get("tool_calls", ()), self._chars_per_token))


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _message(turn: ScriptedTurn, request: Request) -> Message:
    """The turn in wire form. Ids of tool calls come from step and place, so that a replay gives the same ones."""
    message: Message = {"role": "assistant"}
    if turn.tokens is not None:
        message["content"] = marker(turn.tokens, f"{request.rollout}/{request.step}")
    elif turn.content is not None or not turn.tool_calls:
        message["content"] = turn.content or ""
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{request.step}_{i}",
                "type": "function",
                "function": {"name": call["name"], "arguments": _arguments(call.get("arguments"))},
            }
            for i, call in enumerate(turn.tool_calls)
        ]
    return message


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments  # as a model would have written it, well-formed or not
    return msgspec.json.encode(arguments or {}).decode()
