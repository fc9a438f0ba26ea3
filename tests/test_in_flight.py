import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.base import Limit
from concur_batch.in_flight import InFlight
from concur_batch.virtual import run_virtual


def in_flight(speed=1.0, **limit):
    loop = asyncio.get_running_loop()
    return InFlight(Limit(**limit), lambda: speed * loop.time(), lambda: speed)


async def calls(flight, arrivals, seconds=1.0):
    """Calls that arrive at these times and take so long; when each began, in the order of arrival."""
    loop, began = asyncio.get_running_loop(), {}

    async def call(number, at):
        await asyncio.sleep(at)
        await flight.acquire()
        began[number] = round(loop.time(), 6)
        await asyncio.sleep(seconds)
        flight.release()

    await asyncio.gather(*(call(number, at) for number, at in enumerate(arrivals)))
    return [began[number] for number in range(len(arrivals))]


def test_calls_are_capped_in_order():
    async def story():
        return await calls(in_flight(requests=2), [0] * 5)

    assert run_virtual(story()) == [0, 0, 1, 1, 2]


def test_it_is_told_of_every_call_that_begins():
    async def story():
        loop, told = asyncio.get_running_loop(), []
        flight = InFlight(Limit(requests=2), loop.time, lambda: 1.0, lambda: told.append(loop.time()))
        await calls(flight, [0] * 5)
        return told

    assert run_virtual(story()) == [0, 0, 1, 1, 2]


def test_a_cancelled_wait_leaves_its_place():
    async def story():
        flight = in_flight(requests=1)
        await flight.acquire()
        waiting = [asyncio.create_task(flight.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        flight.release()
        await waiting[1]
        return waiting[0].cancelled()

    assert run_virtual(story())


def test_a_larger_limit_lets_those_who_wait_go_at_once():
    async def story():
        flight = in_flight(requests=1)
        await flight.acquire()
        waiting = asyncio.create_task(flight.acquire())
        await asyncio.sleep(1)
        flight.resize(Limit(requests=2))
        await waiting

    run_virtual(story())


@pytest.mark.parametrize(
    ("arrivals", "began"),
    [
        ([0, 0.1, 0.2, 0.3, 5.0], [0, 0.3, 0.3, 0.3, 5.0]),  # the first finds nobody in flight, nor does the last
        ([0, 0.1, 0.2], [0, 0.6, 0.6]),  # two are too few, and wait for half a second from the first on
        ([0, 0.8, 0.9], [0, 1.0, 1.0]),  # nobody is in flight any more
    ],
)
def test_calls_begin_together(arrivals, began):
    async def story():
        return await calls(in_flight(together=3, hold_s=0.5), arrivals)

    assert run_virtual(story()) == began


def test_a_faster_engine_is_waited_for_in_its_own_seconds():
    async def story():
        return await calls(in_flight(speed=10.0, together=3, hold_s=0.5), [0, 0.1])

    assert run_virtual(story()) == [0, 0.15]


def test_those_who_wait_begin_when_fewer_are_enough():
    async def story():
        flight = in_flight(together=3, hold_s=9.0)
        await flight.acquire()
        waiting = asyncio.create_task(flight.acquire())
        await asyncio.sleep(1)
        flight.resize(Limit(together=1))
        await waiting
        return asyncio.get_running_loop().time()

    assert run_virtual(story()) == 1


def test_nobody_begins_once_draining():
    async def story():
        flight = in_flight(together=3, hold_s=0.5)
        await flight.acquire()
        waiting = asyncio.create_task(flight.acquire())
        await asyncio.sleep(0.1)
        flight.drain()
        flight.release()
        await asyncio.sleep(10)
        return waiting.done() or flight.took(), waiting.cancel()

    assert run_virtual(story()) == (False, True)


def test_calls_that_begin_at_one_moment_count_once():
    async def story():
        flight = in_flight(together=3, hold_s=0.5)
        await calls(flight, [0, 0.1, 0.2, 0.3, 5.0, 5.001])
        return flight.begun(), flight.begun()

    assert run_virtual(story()) == (4, 0)  # at 0, 0.3, 5 and 5.501


@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=30),
    st.floats(0.01, 3),
    st.integers(1, 6),
    st.floats(0, 2),
    st.integers(1, 8),
)
def test_nobody_waits_for_others_longer_than_said(arrivals, seconds, together, hold_s, requests):
    """And each gets through, whatever the cap; without one, each has begun when its hold is over."""

    async def story(requests):
        return await calls(in_flight(together=together, hold_s=hold_s, requests=requests), arrivals, seconds)

    assert len(run_virtual(story(requests))) == len(arrivals)
    for arrival, began in zip(arrivals, run_virtual(story(1000)), strict=True):
        assert arrival - 1e-6 <= began <= arrival + hold_s + 1e-6
