"""Touches: KV that is used now and then outlives what is as old and is not."""

import asyncio

from simulated import core

from concur_batch.engine.base import Request
from concur_batch.engine.sim import SimEngine
from concur_batch.errors import EngineBusy
from concur_batch.sim.tokens import marker
from concur_batch.task import ScriptedTurn
from concur_batch.touches import Touches
from concur_batch.virtual import run_virtual


def request(rollout, tokens=1000, step=1, more=(), **sampling):
    return Request(
        rollout=rollout,
        step=step,
        request_id=f"{rollout}/{step}",
        model="sim",
        messages=[{"role": "user", "content": marker(tokens, rollout)}, *more],
        turn=ScriptedTurn(tokens=10),
        sampling=sampling,
    )


class Watched(SimEngine):
    """A simulated engine with a pool of 5,000 tokens that remembers its requests, and fails at will."""

    def __init__(self):
        super().__init__(core(5_000))
        self.asked = []
        self.fails = False

    async def complete(self, request):
        self.asked.append(request)
        if self.fails:
            raise EngineBusy("queue full")
        return await super().complete(request)


def answered(*rollouts):
    """An engine that has answered each of these once, and its touches."""
    sim = Watched()
    touches = Touches(sim)
    for rollout in rollouts:
        touches.answered(request(rollout))
    return sim, touches


async def begun(touches, *rollouts):
    """Begin these touches and wait for them; how many there were."""
    touches.want(rollouts)
    touches.begin()
    await asyncio.sleep(40)
    return touches.counted()


def test_touched_kv_outlives_what_is_as_old():
    async def story():
        sim = Watched()
        touches = Touches(sim)
        for rollout in ("touched", "left"):
            asked = request(rollout)
            touches.answered(asked)
            await sim.complete(asked)
        for number in range(4):  # the pool holds three of them beside the first two
            assert await begun(touches, "touched") == 1
            await sim.complete(request(f"other {number}"))
        return [(await sim.complete(request(rollout, step=2))).cached_tokens for rollout in ("touched", "left")]

    kept, lost = run_virtual(story())
    assert kept == 999  # all but the token that is always computed
    assert lost < 100


def test_one_token_of_the_same_prompt_and_nothing_else_of_the_reply():
    async def story():
        sim = Watched()
        touches = Touches(sim)
        of_reply = {"max_completion_tokens": 900, "min_tokens": 5, "n": 4, "logprobs": True, "return_token_ids": True}
        asked = request("a", **of_reply, temperature=0.5, chat_template_kwargs={"x": 1})
        touches.answered(asked)
        asked.messages.append({"role": "assistant", "content": "written on by the agent"})
        await begun(touches, "a")
        return sim.asked

    (touch,) = run_virtual(story())
    assert touch.touch
    assert touch.messages == request("a").messages
    assert touch.sampling == {"max_tokens": 1, "temperature": 0.5, "chat_template_kwargs": {"x": 1}}
    assert touch.request_id != "a/1"


def test_only_who_has_been_answered_and_is_there_and_one_at_a_time():
    async def story():
        sim, touches = answered("a", "gone")
        touches.forget("gone")
        touches.want(["a"])
        touches.begin()
        return await begun(touches, "a", "gone", "unheard"), len(sim.asked)

    assert run_virtual(story()) == (1, 1)


def test_who_calls_by_then_needs_no_touch():
    async def story():
        sim, touches = answered("a", "b")
        touches.want(["a", "b"])
        touches.calls("b")
        found = [touches.begin(), touches.begin()]
        await asyncio.sleep(40)
        return found, [asked.rollout for asked in sim.asked]

    assert run_virtual(story()) == ([True, False], ["a"])


def test_after_one_has_failed_there_are_none_for_a_minute():
    async def story():
        sim, touches = answered("a")
        sim.fails = True
        found = [await begun(touches, "a")]
        sim.fails = False
        found.append(await begun(touches, "a"))
        found.append(await begun(touches, "a"))
        return found

    assert run_virtual(story()) == [1, 0, 1]


def test_those_under_way_end_with_the_run():
    async def story():
        sim, touches = answered("a")
        touches.want(["a"])
        touches.begin()
        await asyncio.sleep(0)
        await touches.close()
        await sim.aclose()
        return len(sim.asked), asyncio.all_tasks() - {asyncio.current_task()}

    assert run_virtual(story()) == (1, set())
