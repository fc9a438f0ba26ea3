"""Slots in virtual time: nobody is lost, nobody runs over the limit except while it shrinks."""

import asyncio
import random

from gates import gate_of, started, told, view
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Limit
from concur_batch.records import RolloutPaused, RolloutReturned
from concur_batch.virtual import run_virtual


def test_a_boundary_within_the_limit_does_not_wait():
    async def story():
        gate, records, _ = gate_of()
        agent = view(0)
        gate.start(agent)
        await gate.boundary(agent)
        return agent.returns, agent.paused_s, records

    assert run_virtual(story()) == (0, 0.0, [])


def test_when_the_limit_shrinks_the_newest_pauses_and_the_oldest_returns_first():
    async def story():
        gate, records, _, agents = started(3, agents=3)
        gate.resize(Limit(agents=1))
        waits = [asyncio.create_task(gate.boundary(agent)) for agent in agents]
        await asyncio.sleep(5)
        assert [wait.done() for wait in waits] == [True, False, False]
        assert (gate.active, gate.paused) == (1, 2)
        gate.leave(agents[0])
        await asyncio.sleep(5)
        assert [wait.done() for wait in waits] == [True, True, False]
        gate.leave(agents[1])
        await waits[2]
        assert [(agent.returns, agent.paused_s) for agent in agents] == [(0, 0.0), (1, 5.0), (1, 10.0)]
        return [type(record) for record in records]

    assert run_virtual(story()) == [RolloutPaused, RolloutPaused, RolloutReturned, RolloutReturned]


def test_paused_agents_come_before_new_ones():
    async def story():
        gate, _, room = gate_of(agents=2)
        first, second = view(0), view(1)
        gate.start(first)
        gate.start(second)
        gate.resize(Limit(agents=1))
        waiting = asyncio.create_task(gate.boundary(second))
        await asyncio.sleep(1)
        assert not gate.has_room(view(99))
        gate.leave(first)
        assert not gate.has_room(view(99))
        await waiting
        room.clear()
        gate.leave(second)
        assert room.is_set()
        assert gate.has_room(view(99))

    run_virtual(story())


def test_draining_lets_nobody_pass():
    async def story():
        gate, records, _ = gate_of()
        agent = view(0)
        gate.start(agent)
        gate.drain()
        waiting = asyncio.create_task(gate.boundary(agent))
        await asyncio.sleep(100)
        assert not waiting.done()
        gate.resize(Limit(agents=50))
        await asyncio.sleep(100)
        assert not waiting.done()
        assert not gate.has_room(view(99))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.leave(agent)
        assert (gate.active, gate.paused) == (0, 0)
        return records[0].reason

    assert run_virtual(story()) == "drain"


def test_a_token_limit_pauses_by_contexts():
    async def story():
        gate, _, _ = gate_of(agents=9, tokens=1000)
        agents = [view(i) for i in range(3)]
        for agent in agents:
            gate.start(agent)
            gate.replied(agent, prompt_tokens=400, completion_tokens=0, cached_tokens=None)
        assert gate.committed_tokens == 1200
        await gate.boundary(agents[0])
        assert agents[0].returns == 0
        waiting = asyncio.create_task(gate.boundary(agents[2]))
        await asyncio.sleep(1)
        assert not waiting.done()
        assert gate.committed_tokens == 800
        gate.leave(agents[0])
        await waiting
        assert gate.committed_tokens == 800

    run_virtual(story())


@given(st.integers(0, 10_000), st.integers(1, 12), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_everybody_gets_through_under_any_sequence_of_limits(seed, count, limits):
    """Random agents and limits that move: at each start, return and boundary passed, at most `limit` are active."""

    async def story():
        rng = random.Random(seed)
        gate, _, room = gate_of(agents=max(1, limits[0]))
        done = []

        async def live(agent):
            for step in range(4):
                await gate.boundary(agent)
                assert agent.rollout in gate._roster.active
                await asyncio.sleep(rng.random())
                gate.replied(agent, prompt_tokens=100 * (step + 1), completion_tokens=0, cached_tokens=None)
            gate.leave(agent)
            done.append(agent.order)

        async def move():
            for limit in limits:
                gate.resize(Limit(agents=limit))
                await asyncio.sleep(0.7)
            gate.resize(Limit(agents=2))

        mover = asyncio.create_task(move())
        tasks = []
        for order in range(count):
            while not gate.has_room(view(99)):
                room.clear()
                await room.wait()
            agent = view(order)
            gate.start(agent)
            assert gate.active <= gate.limit.agents
            tasks.append(asyncio.create_task(live(agent)))
            await asyncio.sleep(0)
        await asyncio.gather(mover, *tasks)
        assert (gate.active, gate.paused, gate.committed_tokens) == (0, 0, 0)
        return sorted(done)

    assert run_virtual(story()) == list(range(count))


def test_two_calls_of_one_agent_pause_once():
    async def story():
        gate, records, _ = gate_of(agents=2)
        first, second = view(0), view(1)
        gate.start(first)
        gate.start(second)
        gate.resize(Limit(agents=1))
        calls = [asyncio.create_task(gate.boundary(second)) for _ in range(3)]
        await asyncio.sleep(4)
        assert (gate.active, gate.paused) == (1, 1)
        gate.leave(first)
        await asyncio.gather(*calls)
        assert (second.returns, second.paused_s, second.last_boundary, second.paused_since) == (1, 4.0, 4.0, None)
        return len(records)

    assert run_virtual(story()) == 2


def test_a_cancelled_pause_leaves_the_other_call_waiting():
    async def story():
        gate, _, _ = gate_of(agents=2)
        first, second = view(0), view(1)
        for agent in (first, second):
            gate.start(agent)
            gate.replied(agent, prompt_tokens=100, completion_tokens=0, cached_tokens=None)
        gate.resize(Limit(agents=1))
        one = asyncio.create_task(gate.boundary(second))
        other = asyncio.create_task(gate.boundary(second))
        await asyncio.sleep(1)
        one.cancel()
        await asyncio.sleep(1)
        assert not other.done()
        gate.leave(first)
        await other
        assert gate.committed_tokens == 100
        gate.leave(second)
        return gate.active, gate.paused, gate.committed_tokens

    assert run_virtual(story()) == (0, 0, 0)


def test_who_gives_a_pause_up_is_away_and_holds_nobody_back():
    """The second is too large to return beside the first; the third, which is behind it, is not."""

    async def story():
        gate, records, _ = gate_of(agents=9, tokens=1000)
        agents = [view(order) for order in range(3)]
        for agent, tokens in zip(agents, (500, 800, 400), strict=True):
            gate.start(agent)
            gate.replied(agent, prompt_tokens=tokens, completion_tokens=0, cached_tokens=None)
        waits = [asyncio.create_task(gate.boundary(agent)) for agent in agents[:0:-1]]
        await asyncio.sleep(2)
        assert (gate.active, gate.paused, gate.committed_tokens) == (1, 2, 500)
        waits[1].cancel()
        await waits[0]
        assert (gate.active, gate.paused, gate.begun, gate.committed_tokens) == (2, 0, 3, 900)
        assert [(agent.returns, agent.paused_s, agent.paused_since) for agent in agents[1:]] == [(0, 2.0, None), (1, 2.0, None)]
        again = asyncio.create_task(gate.boundary(agents[1]))
        await asyncio.sleep(1)
        assert gate.paused_rollouts == {agents[1].rollout}
        for agent in agents[::2]:
            gate.leave(agent)
        await again
        gate.leave(agents[1])
        assert (gate.begun, gate.committed_tokens) == (0, 0)
        return [(record.rollout, record.slot) for record in records if isinstance(record, RolloutReturned)]

    assert run_virtual(story()) == [("a#1", False), ("a#2", True), ("a#1", True)]


def test_one_that_returns_as_its_call_is_cancelled_has_its_slot():
    async def story():
        gate, records, _, (first, second) = started(2, agents=2)
        gate.resize(Limit(agents=1))
        waiting = asyncio.create_task(gate.boundary(second))
        await asyncio.sleep(1)
        gate.leave(first)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await gate.boundary(second)
        assert (gate.active, second.paused_since) == (1, None)
        return told(records)

    assert run_virtual(story()) == [(RolloutPaused, "limit"), (RolloutReturned, 1.0)]


def test_returning_and_being_cancelled_at_once_counts_once():
    async def story():
        gate, _, _ = gate_of(agents=1)
        first, second = view(0), view(1)
        gate.resize(Limit(agents=2))
        for agent in (first, second):
            gate.start(agent)
            gate.replied(agent, prompt_tokens=100, completion_tokens=0, cached_tokens=None)
        gate.resize(Limit(agents=1))
        waiting = asyncio.create_task(gate.boundary(second))
        await asyncio.sleep(1)
        gate.leave(first)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.leave(second)
        return gate.active, gate.paused, gate.committed_tokens

    assert run_virtual(story()) == (0, 0, 0)


def test_agents_that_have_not_been_heard_of_load_an_engine_as_much_as_others_do():
    async def story():
        gate, _, _, agents = started(4, agents=9)
        loads = [gate.load_tokens]
        for agent, tokens in zip(agents, (100, 300, 500), strict=False):
            gate.replied(agent, prompt_tokens=tokens, completion_tokens=0, cached_tokens=0)
            loads.append(gate.load_tokens)
        gate.leave(agents[3])
        gate.replied(agents[0], prompt_tokens=200, completion_tokens=0, cached_tokens=100)
        loads.append(gate.load_tokens)
        for agent in agents[:3]:
            gate.leave(agent)
        return [*loads, gate.load_tokens, gate.begun]

    assert run_virtual(story()) == [4, 400, 800, 1200, 1000, 0, 0]
