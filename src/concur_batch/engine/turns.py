"""Two turns of one conversation, to see whether `cached_tokens` moves as it should."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

from concur_batch.engine.again import unless_busy
from concur_batch.engine.base import Engine, Request
from concur_batch.task import Message

_WORDS = 400  # 500 to 2,500 tokens, as the tokenizer cuts nonsense
_WORDS_OTHERS = 900  # servers that are not SGLang may cache only from 1,024 tokens on, 128 at a time
_PAGE_OTHERS = 128
_PAGES = 8  # a prompt has at least so many pages, so that the part of one that is lost at its end is small
_OUTPUT_TOKENS = 8
_TEMPLATE_TOKENS = 32  # what a chat template may write otherwise at the end of a prompt than in a history
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ATTEMPTS = 2  # others may have had the KV of the first turn evicted before the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Token counts of a first turn that no cache can know, and of a second that opens with it. None: the reply does not tell."""

    first_prompt: int
    first_cached: int | None
    second_prompt: int
    second_cached: int | None
    page_size: int = 1

    @property
    def told(self) -> bool:
        """Whether replies carry `cached_tokens`; some servers leave it out where it would be 0."""
        return self.first_cached is not None or self.second_cached is not None

    @property
    def expected(self) -> int:
        """The second turn should find at least so many tokens cached: the first one's prompt, less what may differ at its end."""
        return max(self.first_prompt - self.page_size - _TEMPLATE_TOKENS, self.first_prompt // 2)

    @property
    def moves(self) -> bool:
        """Whether the first was new to the cache (the template's own opening may be known), and its prompt then was not."""
        return self.told and (self.first_cached or 0) <= self.first_prompt // 4 and (self.second_cached or 0) >= self.expected


async def take_turns(engine: Engine, model: str, page_size: int, *, busy_s: float = 0.0) -> Turns:
    """Send two short requests, and two others where the count did not move. Raises EngineError where one fails.

    `engine` has been probed; `page_size` in tokens, of its cache. `busy_s`: so long each is sent again where the server is busy.
    """
    for _ in range(_ATTEMPTS):
        turns = await _two(engine, model, page_size, busy_s)
        if turns.moves or not turns.told:
            break
    return turns


async def _two(engine: Engine, model: str, page_size: int, busy_s: float) -> Turns:
    can, draw = engine.capabilities, random.Random(secrets.randbits(64))  # noqa: S311 - texts, no secrets
    if can.kind == "openai":
        page_size = max(page_size, _PAGE_OTHERS)
    words = max(_WORDS_OTHERS if can.kind == "openai" else _WORDS, _PAGES * page_size)
    if can.context_length is not None:
        words = min(words, max(1, can.context_length // 16))  # a word of nonsense is six tokens at most
    text = " ".join("".join(draw.choices(_LETTERS, k=5)) for _ in range(words))
    history: list[Message] = [{"role": "user", "content": f"{text}\nSay yes."}]
    sampling = {"max_tokens": _OUTPUT_TOKENS}
    nonce = secrets.token_hex(4)

    def request(step: int) -> Request:
        rollout = f"concur-check-{nonce}"
        return Request(
            rollout=rollout,
            step=step,
            request_id=f"{rollout}/{step}",
            model=model,
            messages=list(history),
            sampling=sampling,
            bound_is_ours=True,
        )

    first = await unless_busy(lambda: engine.complete(request(1)), busy_s)
    history.append({"role": "assistant", "content": first.message.get("content") or "Yes."})
    history.append({"role": "user", "content": "Say yes once more."})
    second = await unless_busy(lambda: engine.complete(request(2)), busy_s)
    return Turns(
        first_prompt=first.prompt_tokens,
        first_cached=first.cached_tokens,
        second_prompt=second.prompt_tokens,
        second_cached=second.cached_tokens,
        page_size=page_size,
    )
