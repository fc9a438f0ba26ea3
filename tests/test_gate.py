"""Slots in virtual time: nobody is lost, nobody runs over the limit except while it shrinks."""

import asyncio
import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.base import AgentView, Limit
from concur_batch.gate import Gate, Passage
from concur_batch.recorder import Recorder
from concur_batch.records import RolloutPaused, RolloutReturned, RolloutYielded
from concur_batch.virtual import run_virtual


@dataclass(frozen=True)
class Impatient(SlotAdmission):
    """Everybody in a tool call gives up its slot; remembers what it was told."""

    heard: list = field(default_factory=list)

    def yielding(self, roster):
        return [agent for agent in roster.active.values() if agent.tool_started is not None]

    def tool_ended(self, agent, seconds):
        self.heard.append((agent.order, seconds))

    def ended(self, agent):
        self.heard.append((agent.order, "ended"))


def gate_of(agents=2, admission=None, **limit):
    records = []
    recorder = Recorder(asyncio.get_running_loop().time, records.append)
    room = asyncio.Event()
    return Gate("e", admission or SlotAdmission(), Limit(agents=agents, **limit), recorder, room.set), records, room


def view(order):
    return AgentView(rollout=f"a#{order}", order=order)


def test_a_boundary_within_the_limit_does_not_wait():
    async def story():
        gate, records, _ = gate_of()
        agent = view(0)
        gate.start(agent)
        return await gate.boundary(agent), records

    assert run_virtual(story()) == (Passage(), [])


def test_when_the_limit_shrinks_the_newest_pauses_and_the_oldest_returns_first():
    async def story():
        gate, records, _ = gate_of(agents=3)
        agents = [view(i) for i in range(3)]
        for agent in agents:
            gate.start(agent)
        gate.resize(Limit(agents=1))
        waits = [asyncio.create_task(gate.boundary(agent)) for agent in agents]
        await asyncio.sleep(5)
        assert [wait.done() for wait in waits] == [True, False, False]
        assert (gate.active, gate.paused) == (1, 2)
        gate.leave(agents[0])
        await asyncio.sleep(5)
        assert [wait.done() for wait in waits] == [True, True, False]
        gate.leave(agents[1])
        assert await waits[2] == Passage(10.0, returned=True)
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
        assert await gate.boundary(agents[0]) == Passage()
        waiting = asyncio.create_task(gate.boundary(agents[2]))
        await asyncio.sleep(1)
        assert not waiting.done()
        assert gate.committed_tokens == 800
        gate.leave(agents[0])
        await waiting
        assert gate.committed_tokens == 800

    run_virtual(story())


def test_calls_in_flight_are_capped_in_order():
    async def story():
        gate, _, _ = gate_of(requests=2)
        began = []

        async def call(number):
            await gate.acquire_request()
            began.append((asyncio.get_running_loop().time(), number))
            await asyncio.sleep(1)
            gate.release_request()

        await asyncio.gather(*(call(i) for i in range(5)))
        return began

    assert run_virtual(story()) == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)]


def test_a_cancelled_wait_for_a_call_leaves_its_place():
    async def story():
        gate, _, _ = gate_of(requests=1)
        await gate.acquire_request()
        waiting = [asyncio.create_task(gate.acquire_request()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.release_request()
        await waiting[1]
        return waiting[0].cancelled()

    assert run_virtual(story())


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
        assert sorted(await asyncio.gather(*calls)) == [Passage(), Passage(), Passage(4.0, returned=True)]
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


# Yielding ----------------------------------------------------------------------------------------------------------------


def told(records):
    return [(type(record), getattr(record, "reason", None) or getattr(record, "paused_s", None)) for record in records]


def yielded(agents=1, count=1):
    """A gate at which all of so many agents are away in a tool call."""
    law = Impatient()
    gate, records, room = gate_of(agents, law)
    views = [view(order) for order in range(count)]
    for agent in views:
        gate.start(agent)
        gate.replied(agent, prompt_tokens=90, completion_tokens=10, cached_tokens=None)
        gate.tool_began(agent)
    gate.resize(gate.limit)
    return gate, law, records, room, views


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
        assert await gate.boundary(agent) == Passage(0.0, returned=True)
        assert await gate.boundary(agent) == Passage()
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
        assert await waiting == Passage(7.0, returned=True)
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None), (RolloutPaused, "yield"), (RolloutReturned, 7.0)]


def test_it_may_end_while_it_is_away():
    async def story():
        gate, law, _, _, (agent,) = yielded()
        gate.tool_ended(agent)
        gate.leave(agent)
        gate.resize(gate.limit)
        return gate.active, gate.paused, gate.committed_tokens, law.heard

    assert run_virtual(story()) == (0, 0, 0, [(0, 0.0), (0, "ended")])


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
        return law.heard, agent.tool_started, agent.tools

    assert run_virtual(story()) == ([(0, 9.0)], None, 0)


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
        assert sorted(await asyncio.gather(*calls)) == [Passage(), Passage(3.0, returned=True)]
        return told(records)

    assert run_virtual(story()) == [(RolloutYielded, None), (RolloutPaused, "yield"), (RolloutReturned, 3.0)]


# A person takes a hand --------------------------------------------------------------------------------------------------


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
        assert await gate.boundary(first) == Passage()
        gate.leave(first)
        await asyncio.sleep(100)
        assert not waiting.done()
        assert not gate.has_room(view(99))
        assert not room.is_set()
        gate.steer(Limit(agents=9), held=False)
        assert await waiting == Passage(101.0, returned=True)
        assert room.is_set()
        assert gate.has_room(view(99))
        return told(records)

    assert run_virtual(story()) == [(RolloutPaused, "limit"), (RolloutReturned, 101.0)]


def test_the_time_for_which_it_was_held_is_no_waiting_for_room():
    async def story():
        gate, _, _ = gate_of(agents=3)
        agents = [view(i) for i in range(3)]
        for agent in agents:
            gate.start(agent)
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
        assert await asyncio.gather(*waits) == [Passage(2010.0, returned=True), Passage(1000.0, returned=True)]
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


def test_a_larger_limit_on_calls_lets_those_who_wait_go_at_once():
    async def story():
        gate, _, _ = gate_of(requests=1)
        await gate.acquire_request()
        waiting = asyncio.create_task(gate.acquire_request())
        await asyncio.sleep(1)
        gate.steer(Limit(requests=2), held=True)
        await waiting

    run_virtual(story())


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
                passage = await gate.boundary(agent)
                assert not (passage.returned and held)
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
