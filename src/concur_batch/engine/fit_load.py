"""Giving a running SGLang a small load of known shape, and reading from its running sums what each piece took."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, NamedTuple

from concur_batch.engine.again import unless_busy
from concur_batch.engine.faults import fault, unreadable
from concur_batch.engine.probe import LOADS, read_json
from concur_batch.engine.sums import Sums, read_sums
from concur_batch.engine.transport import Transport
from concur_batch.errors import EngineDown, EngineFailed, InputError
from concur_batch.sim.fit import DecodePoint, PrefillPoint
from concur_batch.sim.fit_plan import BURST_OUTPUT, Burst, Conversation, chunks

_READING_TIMEOUT_S = 10.0
BUSY_S = 60.0  # a server that is busy is asked again within so many
_SETTLE_S = 0.02  # between two looks whether the sums have caught up with the replies
_SETTLE_LOOKS = 100
_CALIBRATION_CHARS = 2000
_SETTLED = 0.02  # share by which a burst may have missed prefill tokens or generated ones that others asked for
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Replied(NamedTuple):
    """What one reply told, in tokens."""

    prompt: int
    cached: int


class Load:
    """One server under our load. `request_timeout_s` bounds each request."""

    def __init__(self, transport: Transport, where: str, chunk: int, random: Random, request_timeout_s: float) -> None:
        self._transport = transport
        self._where = where
        self._chunk = chunk
        self._random = random
        self._request_timeout_s = request_timeout_s
        self._chars_per_token = 1.0

    async def sums(self) -> Sums:
        """Now. Raises InputError where the server does not keep them."""
        return await unless_busy(self._sums, BUSY_S)

    async def _sums(self) -> Sums:
        try:
            async with asyncio.timeout(_READING_TIMEOUT_S):
                answer = await self._transport.ask("GET", LOADS)
        except TimeoutError:
            raise EngineDown(f"{self._where}: no answer to /v1/loads within {_READING_TIMEOUT_S:g} s") from None
        if answer.status in (429, 503):
            raise fault(answer.status, answer.headers, answer.body, self._where)
        sums = read_sums(read_json(answer))
        if sums is None:
            raise InputError(
                f"{self._where}: its /v1/loads has no running sums of iteration times (total_prefill_busy_us, decode_moments), from "
                "which a profile is fitted; SGLang 0.5.23 has them"
            )
        return sums

    async def calibrate(self) -> None:
        """Learn how many characters of our text make a token; also wakes whatever the server does only once."""
        text = self._text(_CALIBRATION_CHARS)
        replied = await self._generate(text, BURST_OUTPUT)
        self._chars_per_token = len(text) / max(1, replied.prompt)

    async def converse(self, talk: Conversation) -> list[PrefillPoint | None]:
        """One point per request; None where the sums do not tell of that request alone."""
        text, found = "", list[PrefillPoint | None]()
        for added in talk.added:
            text += " " + self._text(added * self._chars_per_token)
            before = await self.sums()
            replied = await self._generate(text, 1)
            new = replied.prompt - replied.cached
            spent = (await self._settled(before, new)).since(before)
            alone = spent.prefill_tokens == new and spent.prefill_s > 0
            found.append(PrefillPoint(chunks(new, replied.cached, self._chunk), spent.prefill_s) if alone else None)
        return found

    async def burst(self, burst: Burst) -> DecodePoint | None:
        """One point; None where too few steps were counted, or others had a part in them."""
        texts = [self._text(burst.prompt * self._chars_per_token) for _ in range(burst.batch)]
        before = await self.sums()
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._generate(text, BURST_OUTPUT)) for text in texts]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        replies = [task.result() for task in asked]
        new = sum(reply.prompt - reply.cached for reply in replies)
        spent = (await self._settled(before, new)).since(before)
        others = spent.prefill_tokens > new * (1 + _SETTLED) or spent.generated_tokens > burst.batch * BURST_OUTPUT * (
            1 + _SETTLED
        )
        if others or spent.decode_steps < BURST_OUTPUT / 4 or spent.decode_s <= 0:
            return None
        batch = spent.decode_requests / spent.decode_steps
        context = sum(reply.prompt for reply in replies) / len(replies) + BURST_OUTPUT / 2
        return DecodePoint(batch, batch * context, spent.decode_s / spent.decode_steps)

    async def _settled(self, before: Sums, prefilled: int) -> Sums:
        """The sums once they tell of `prefilled` more tokens and of nothing running; as they are if that does not come about."""
        sums = await self.sums()
        for _ in range(_SETTLE_LOOKS):
            if sums.running_requests == 0 and sums.prefill_tokens - before.prefill_tokens >= prefilled:
                break
            await asyncio.sleep(_SETTLE_S)
            sums = await self.sums()
        return sums

    async def _generate(self, text: str, tokens: int) -> Replied:
        return await unless_busy(lambda: self._generate_once(text, tokens), BUSY_S)

    async def _generate_once(self, text: str, tokens: int) -> Replied:
        body = {"text": text, "sampling_params": {"max_new_tokens": tokens, "ignore_eos": True, "temperature": 0}}
        try:
            async with asyncio.timeout(self._request_timeout_s):
                answer = await self._transport.ask("POST", "/generate", body)
        except TimeoutError:
            told = f"no reply to a prompt of {len(text)} characters within {self._request_timeout_s:g} s"
            raise EngineFailed(f"{self._where}: {told}") from None
        if answer.status != 200:
            raise fault(answer.status, answer.headers, answer.body, self._where)
        meta: Any = read_json(answer)
        meta = meta.get("meta_info") if isinstance(meta, dict) else None
        prompt, cached = (meta.get("prompt_tokens"), meta.get("cached_tokens")) if isinstance(meta, dict) else (None, None)
        if not isinstance(prompt, int) or not isinstance(cached, int):
            raise unreadable(answer.body, self._where, "a reply of /generate with its token counts")
        return Replied(prompt, cached)

    def _text(self, chars: float) -> str:
        """About so many characters that no cache knows, in words."""
        words = ("".join(self._random.choices(_LETTERS, k=4)) for _ in range(1 + int(chars) // 5))
        return " ".join(words)
