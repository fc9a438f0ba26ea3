"""A touch against the real SGLang server: the KV that it keeps in the cache, and how little else it does there."""

import asyncio
import string

import pytest

from concur_batch.engine.base import Request
from concur_batch.engine.openai import OpenAIEngine
from concur_batch.touches import Touches

pytestmark = pytest.mark.sglang

PROMPT_CHARACTERS = 3_000  # nearly as many tokens; the server's pool holds six of these
FILLERS, PER_TOUCH = 12, 4  # the prompts of other agents, and after how many of them there is a touch
OF_TEMPLATE = 40  # tokens of its opening, which all prompts share
LIMIT_S = 120  # of what takes five seconds: a touch that failed would be waited for
REPLY = {"max_tokens": 32, "min_tokens": 32, "ignore_eos": True, "temperature": 0}


class Heard(OpenAIEngine):
    """Keeps the replies to touches, which nobody else looks at."""

    def __init__(self, url):
        super().__init__(url, metrics_interval_s=0)
        self.touched = asyncio.Queue()
        self._computed_tokens = 0  # of all prompts, by the replies

    async def complete(self, request):
        reply = await super().complete(request)
        self._computed_tokens += reply.prompt_tokens - reply.cached_tokens
        if request.touch:
            self.touched.put_nowait(reply)
        return reply

    async def evicted(self):
        """The server's count, once its statistics are as late as the last reply."""
        while (stats := await self.stats()).prefill_tokens_total != self._computed_tokens:
            await asyncio.sleep(0.05)
        return stats.evicted_tokens_total


class Agent:
    """Its prompt shares nothing but the template's opening with that of one with another letter."""

    def __init__(self, letter):
        self.letter = letter
        self.messages = [{"role": "user", "content": letter * PROMPT_CHARACTERS}]

    async def turn(self, engine, touches):
        """A model call, of which the touches are told before the messages go on."""
        rid = f"{self.letter}/{len(self.messages)}"
        asked = Request(rollout=self.letter, step=1, request_id=rid, model="tiny", messages=self.messages, sampling=dict(REPLY))
        reply = await engine.complete(asked)
        touches.answered(asked)
        self.messages += [reply.message, {"role": "user", "content": "And then?"}]
        return reply


async def story(url):
    """Their first replies, each touch between two counts of evictions, and their next replies."""
    engine = Heard(url)
    touches = Touches(engine)
    try:
        await engine.probe()
        touched, left, *others = (Agent(letter) for letter in string.ascii_uppercase[: 2 + FILLERS])
        first = [await agent.turn(engine, touches) for agent in (touched, left)]  # the one that is left is the younger
        heard = []
        for number, other in enumerate(others, 1):
            await other.turn(engine, touches)
            if number % PER_TOUCH == 0:
                before = await engine.evicted()
                touches.want([touched.letter])
                touches.begin()
                heard.append((before, await engine.touched.get(), await engine.evicted()))
        return first, heard, [await agent.turn(engine, touches) for agent in (touched, left)]
    finally:
        await engine.aclose()


def test_the_kv_of_an_agent_that_is_touched_stays_where_that_of_another_is_evicted(server):
    first, heard, (touched, left) = asyncio.run(asyncio.wait_for(story(server.url), LIMIT_S))
    (prompt_tokens,) = {reply.prompt_tokens for reply in first}
    assert prompt_tokens > PROMPT_CHARACTERS
    assert touched.cached_tokens >= prompt_tokens
    assert left.cached_tokens <= OF_TEMPLATE

    # It sends what was answered, not what came after. The last token is computed and one is generated; nothing has to go for it.
    assert len(heard) == FILLERS // PER_TOUCH
    for before, touch, after in heard:
        assert (touch.prompt_tokens, touch.cached_tokens, touch.completion_tokens) == (prompt_tokens, prompt_tokens - 1, 1)
        assert before == after
    assert heard[-1][-1] > 0
