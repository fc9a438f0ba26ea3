"""Slots given up in tool calls that take long."""

import asyncio

from gates import Attentive, Impatient, gate_of, told, view, yielded

from concur_batch.records import RolloutPaused, RolloutReturned, RolloutYielded
from concur_batch.virtual import run_virtual


def test_an_agent_in_a_tool_call_gives_its_slot_up_and_others_start():
    async def story():
        gate, _, records, room, _ = yielded()
        assert (gate.active, gate.paused, gate.committed_tokens) == (0, 0, 0)
        assert room.is_set()
        assert gate.has_room(view(1))
        gate.resize(gate.limit)
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None)]


def test_with_room_it_returns_without_a_pause():
    async def story():
        gate, law, records, _, (agent,) = yielded()
        await asyncio.sleep(30)
        gate.tool_ended(agent)
        await gate.boundary(agent)
        await gate.boundary(agent)
        assert (agent.returns, agent.paused_s) == (1, 0.0)
        assert (gate.active, gate.committed_tokens, law.heard) == (1, 100, [(0, 30.0)])
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None), (RolloutReturned, 0.0)]


def test_without_room_it_waits_and_says_why():
    async def story():
        gate, _, records, _, (agent,) = yielded()
        other = view(1)
        gate.start(other)
        gate.tool_ended(agent)
        waiting = asyncio.create_task(gate.boundary(agent))
        await asyncio.sleep(7)
        assert (gate.active, gate.paused_rollouts) == (1, {agent.rollout})
        assert not gate.has_room(view(2))
        gate.leave(other)
        await waiting
        assert (agent.returns, agent.paused_s) == (1, 7.0)
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None), (RolloutPaused, "yield"), (RolloutReturned, 7.0)]


def test_it_may_end_while_it_is_away():
    async def story():
        gate, law, _, _, (agent,) = yielded()
        gate.tool_ended(agent)
        gate.leave(agent)
        gate.resize(gate.limit)
        return gate.active, gate.paused, gate.committed_tokens, law.heard

    assert run_virtual(story()) == (0, 0, 0, [(0, "ended")])


def test_leaving_this_segment_only_is_no_end():
    async def story():
        gate, law, _, _, (agent,) = yielded()
        gate.leave(agent, ended=False)
        return gate.active, law.heard

    assert run_virtual(story()) == (0, [])


def test_several_tools_at_once_are_one_call():
    async def story():
        law = Impatient()
        gate, _, _ = gate_of(1, law)
        agent = view(0)
        gate.start(agent)
        for _ in range(3):
            gate.tool_began(agent)
            await asyncio.sleep(1)
        for seconds in (4, 2):
            gate.tool_ended(agent)
            await asyncio.sleep(seconds)
        assert law.heard == []
        assert agent.tool_started == 0.0
        gate.tool_ended(agent)
        await asyncio.sleep(5)
        await gate.boundary(agent)
        return law.heard, agent.tool_started, agent.tools

    assert run_virtual(story()) == ([(0, 9.0)], None, 0)


def test_tools_one_after_the_other_are_one_call():
    async def story():
        law = Impatient()
        gate, _, _ = gate_of(1, law)
        agent = view(0)
        gate.start(agent)
        for seconds in (4, 2):
            gate.tool_began(agent)
            await asyncio.sleep(seconds)
            gate.tool_ended(agent)
        assert law.heard == []
        await gate.boundary(agent)
        return law.heard

    assert run_virtual(story()) == [(0, 6.0)]


def test_a_tool_begun_in_a_pause_is_not_what_the_agent_did_during_the_call_after_it():
    async def story():
        gate, law, _, _, (agent,) = yielded()
        other = view(1)
        gate.start(other)
        waiting = asyncio.create_task(gate.boundary(agent))
        await asyncio.sleep(5)
        gate.tool_ended(agent)
        gate.tool_began(agent)
        await asyncio.sleep(5)
        gate.leave(other)
        await waiting
        gate.began(agent)
        await asyncio.sleep(100)
        gate.ended(agent)
        await asyncio.sleep(2)
        gate.tool_ended(agent)
        law.heard.clear()
        await gate.boundary(agent)
        return law.heard

    assert run_virtual(story()) == [(0, 2.0)]


def test_a_tool_beside_which_the_agent_makes_calls_keeps_it_from_its_cache_only_in_between():
    async def story():
        law = Impatient()
        gate, _, _ = gate_of(1, law)
        agent = view(0)
        gate.start(agent)
        gate.tool_began(agent)
        await asyncio.sleep(3)
        await gate.boundary(agent)
        gate.began(agent, 2)
        await asyncio.sleep(10)
        gate.ended(agent, 2)
        await asyncio.sleep(5)
        gate.tool_ended(agent)
        await gate.boundary(agent)
        return law.heard

    assert run_virtual(story()) == [(0, 3.0), (0, 5.0)]


def test_one_that_waits_for_a_reply_too_keeps_its_slot():
    async def story():
        gate, records, _ = gate_of(1, Impatient())
        agent = view(0)
        gate.start(agent)
        gate.tool_began(agent)
        agent.calls = 1
        gate.resize(gate.limit)
        assert (gate.active, records) == (1, [])
        agent.calls = 0
        gate.resize(gate.limit)
        return gate.active, told(records)

    assert run_virtual(story()) == (0, [(RolloutYielded, None)])


def test_draining_nobody_yields_and_who_is_away_pauses_for_it():
    async def story():
        gate, _, records, _, (away, other) = yielded(2, 2)
        gate.tool_ended(other)
        await gate.boundary(other)
        gate.tool_began(other)
        gate.drain()
        gate.resize(gate.limit)
        assert gate.active == 1
        gate.tool_ended(away)
        waiting = asyncio.create_task(gate.boundary(away))
        await asyncio.sleep(50)
        assert not waiting.done()
        gate.stop()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.leave(away, ended=False)
        gate.leave(other, ended=False)
        return (gate.active, gate.paused, gate.committed_tokens), told(records)[2:]

    assert run_virtual(story()) == ((0, 0, 0), [(RolloutReturned, 0.0), (RolloutPaused, "drain")])


def test_two_calls_of_one_that_was_away_wait_once():
    async def story():
        gate, _, records, _, (agent,) = yielded()
        other = view(1)
        gate.start(other)
        gate.tool_ended(agent)
        calls = [asyncio.create_task(gate.boundary(agent)) for _ in range(2)]
        await asyncio.sleep(3)
        gate.leave(other)
        await asyncio.gather(*calls)
        assert (agent.returns, agent.paused_s) == (1, 3.0)
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None), (RolloutPaused, "yield"), (RolloutReturned, 3.0)]


# A person takes a hand --------------------------------------------------------------------------------------------------


def test_who_is_touched_is_so_from_then_on_and_nobody_once_draining():
    async def story():
        gate, _, _ = gate_of(2, Attentive())
        agent = view(0)
        gate.start(agent)
        gate.tool_began(agent)
        found = []
        for _ in range(3):
            await asyncio.sleep(6)
            found.append(gate.touched())
        gate.tool_ended(agent)
        gate.tool_began(agent)
        gate.drain()
        await asyncio.sleep(60)
        return found, agent.touched, gate.touched()

    assert run_virtual(story()) == ([[], ["a#0"], []], 12.0, [])
