"""What the gate tells of an agent that has several conversations."""

import asyncio

from gates import started

from concur_batch.virtual import run_virtual


def under_way():
    """A gate and the one agent at it."""
    gate, _, _, (agent,) = started(1, keep_s=10.0)
    return gate, agent


async def call(gate, agent, number, context, *, cached=0):
    """A model call of a second. Whether its KV should have been there."""
    kept = gate.began(agent, number)
    await asyncio.sleep(1.0)
    gate.ended(agent, number)
    gate.replied(agent, prompt_tokens=context - 10, completion_tokens=10, cached_tokens=cached, conversation=number)
    return kept


def test_an_agent_in_a_sub_agents_conversation_needs_that_and_perhaps_its_own():
    """A prefix of 200 tokens is shared by all contexts, and its own grow from 1,000 to 1,300; the sub-agent's has 500."""

    async def story():
        gate, agent = under_way()
        await call(gate, agent, 1, 1000, cached=200)
        assert (agent.context_tokens, agent.other_tokens, agent.growth_tokens) == (1000, 0, 1000)
        assert agent.step_tokens is None
        gate.began(agent, 2)
        assert agent.context_tokens + agent.other_tokens == 200 + 800 / 2  # nothing is known of the other yet
        gate.ended(agent, 2)
        gate.replied(agent, prompt_tokens=490, completion_tokens=10, cached_tokens=200, conversation=2)
        assert (agent.context_tokens, agent.other_tokens, agent.growth_tokens) == (500, 400, -100)
        assert gate.committed_tokens == 500
        assert await call(gate, agent, 1, 1300)
        assert agent.context_tokens == 1300
        assert agent.other_tokens == 150  # half of what the other has of its own
        assert agent.step_tokens == 300
        assert (agent.calls, agent.steps) == (0, 3)

    run_virtual(story())


def test_what_was_left_for_longer_than_kv_is_kept_is_not_missed():
    async def story():
        gate, agent = under_way()
        assert await call(gate, agent, 1, 1000)
        assert await call(gate, agent, 2, 500)
        await asyncio.sleep(10.0)
        assert not await call(gate, agent, 1, 1100)
        await asyncio.sleep(100.0)
        assert await call(gate, agent, 1, 1200)  # a tool call, however long, is no matter of conversations

    run_virtual(story())


def test_a_call_that_fails_is_over_too():
    async def story():
        gate, agent = under_way()
        gate.began(agent)
        assert agent.calls == 1
        gate.ended(agent)
        assert (agent.calls, agent.steps, agent.context_tokens) == (0, 0, 0)

    run_virtual(story())
