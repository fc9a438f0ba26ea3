"""Slots while a person holds admission or scales the limits."""

import asyncio
import random

from gates import Impatient, gate_of, started, told, view
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Limit
from concur_batch.records import RolloutPaused, RolloutReturned
from concur_batch.virtual import run_virtual


def test_held_nobody_starts_or_returns_and_the_active_go_on():
    async def story():
        gate, records, room = gate_of(agents=2)
        first, second = view(0), view(1)
        gate.start(first)
        gate.start(second)
        gate.resize(Limit(agents=1))
        waiting = asyncio.create_task(gate.boundary(second))
        await asyncio.sleep(1)
        gate.steer(Limit(agents=5), held=True)
        room.clear()
        gate.resize(Limit(agents=9))
        await gate.boundary(first)
        gate.leave(first)
        await asyncio.sleep(100)
        assert not waiting.done()
        assert not gate.has_room(view(99))
        assert not room.is_set()
        gate.steer(Limit(agents=9), held=False)
        await waiting
        assert [(agent.returns, agent.paused_s) for agent in (first, second)] == [(0, 0.0), (1, 101.0)]
        assert room.is_set()
        assert gate.has_room(view(99))
        return told(records)

    assert run_virtual(story()) == [(RolloutPaused, "limit"), (RolloutReturned, 101.0)]


def test_the_time_for_which_it_was_held_is_no_waiting_for_room():
    async def story():
        gate, _, _, agents = started(3, agents=3)
        gate.resize(Limit(agents=1))
        waits = [asyncio.create_task(gate.boundary(agents[2]))]
        await asyncio.sleep(10)
        gate.steer(Limit(agents=1), held=True)
        await asyncio.sleep(1000)
        gate.steer(Limit(agents=1, tokens=5), held=True)
        waits.append(asyncio.create_task(gate.boundary(agents[1])))
        await asyncio.sleep(1000)
        gate.steer(Limit(agents=1), held=False)
        now = asyncio.get_running_loop().time()
        waited = [now - agent.paused_since for agent in (agents[2], agents[1])]
        gate.resize(Limit(agents=3))
        await asyncio.gather(*waits)
        assert [agents[n].paused_s for n in (2, 1)] == [2010.0, 1000.0]
        return waited

    assert run_virtual(story()) == [10.0, 0.0]


def test_held_nobody_gives_up_a_slot_that_nobody_could_take():
    async def story():
        gate, records, _ = gate_of(1, Impatient())
        agent = view(0)
        gate.start(agent)
        gate.tool_began(agent)
        gate.steer(gate.limit, held=True)
        gate.resize(gate.limit)
        assert (gate.active, records) == (1, [])
        gate.steer(gate.limit, held=False)
        gate.resize(gate.limit)
        return gate.active

    assert run_virtual(story()) == 0


def test_draining_goes_before_letting_go_on():
    async def story():
        gate, _, room = gate_of(agents=2)
        gate.steer(gate.limit, held=True)
        gate.drain()
        gate.steer(gate.limit, held=False)
        return gate.has_room(view(0)), room.is_set()

    assert run_virtual(story()) == (False, False)


@given(
    st.integers(0, 10_000),
    st.integers(1, 12),
    st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=20),
)
def test_everybody_gets_through_whatever_a_person_does(seed, count, hands):
    """Held or scaled at random: nobody starts or returns while held, and once let go everybody ends."""

    async def story():
        rng = random.Random(seed)
        gate, _, room = gate_of(agents=2)
        held = False
        done = []

        async def live(agent):
            for step in range(4):
                before = agent.returns
                await gate.boundary(agent)
                assert not (agent.returns > before and held)
                await asyncio.sleep(rng.random())
                gate.replied(agent, prompt_tokens=100 * (step + 1), completion_tokens=0, cached_tokens=None)
            gate.leave(agent)
            done.append(agent.order)

        async def steer():
            nonlocal held
            for held, limit in hands:
                gate.steer(Limit(agents=limit), held=held)
                await asyncio.sleep(0.7)
            held = False
            gate.steer(Limit(agents=2), held=False)

        hand = asyncio.create_task(steer())
        tasks = []
        for order in range(count):
            while not gate.has_room(view(99)):
                room.clear()
                await room.wait()
            assert not held
            agent = view(order)
            gate.start(agent)
            assert gate.active <= gate.limit.agents
            tasks.append(asyncio.create_task(live(agent)))
            await asyncio.sleep(0)
        await asyncio.gather(hand, *tasks)
        assert (gate.active, gate.paused, gate.committed_tokens) == (0, 0, 0)
        return sorted(done)

    assert run_virtual(story()) == list(range(count))
