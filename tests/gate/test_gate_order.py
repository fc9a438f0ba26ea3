"""Who goes first where a new agent and paused ones wait for the same room."""

import asyncio

from gates import NewFirst, gate_of, view

from concur_batch.virtual import run_virtual


def one_paused(admission, waits):
    """A gate for one agent that is held by another while the first is paused; `waits` holds whether a new one waits."""
    gate, _, room = gate_of(1, admission, lambda: bool(waits))
    first, other = view(0), view(1)
    gate.start(other)

    async def pause():
        await gate.boundary(first)
        return first.paused_s

    return gate, room, other, asyncio.create_task(pause())


def test_paused_agents_come_before_new_ones_unless_admission_says_otherwise():
    async def story(admission):
        waits = [True]
        gate, room, other, paused = one_paused(admission, waits)
        await asyncio.sleep(1)
        room.clear()
        full = gate.has_room(view(2))
        gate.leave(other)
        await asyncio.sleep(1)
        return full, room.is_set(), paused.done(), gate.has_room(view(2))

    assert run_virtual(story(NewFirst())) == (False, True, False, True)
    assert run_virtual(story(None)) == (False, True, True, False)


def test_once_no_new_one_waits_the_paused_return():
    async def story():
        waits = [True]
        gate, _, other, paused = one_paused(NewFirst(), waits)
        await asyncio.sleep(1)
        new = view(2)
        assert not gate.has_room(new)
        gate.leave(other)
        assert gate.has_room(new)
        gate.start(new)
        waits.clear()
        gate.resize(gate.limit)
        await asyncio.sleep(1)
        assert not paused.done()
        gate.leave(new)
        return await paused

    assert run_virtual(story()) == 2.0


def test_a_new_one_of_which_the_gate_has_not_heard_holds_nobody_back():
    async def story():
        gate, _, other, paused = one_paused(NewFirst(), [True])
        await asyncio.sleep(1)
        gate.leave(other)
        await asyncio.sleep(0)
        return paused.done() or await paused

    assert run_virtual(story())


def test_a_new_one_that_starts_elsewhere_holds_nobody_back():
    async def story():
        gate, room, other, paused = one_paused(NewFirst(), [True])
        await asyncio.sleep(1)
        assert not gate.has_room(view(2))
        gate.leave(other)
        await asyncio.sleep(1)
        assert not paused.done()
        room.clear()
        gate.pass_over()
        assert await paused == 2.0
        assert room.is_set()
        room.clear()
        gate.pass_over()  # it knows of none
        assert not room.is_set()

    run_virtual(story())
