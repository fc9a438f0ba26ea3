"""Time that only moves when everybody waits."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.virtual import VirtualTimeError, run_virtual


def wake_order(delays):
    async def story():
        woken = []

        async def sleeper(number, delay):
            await asyncio.sleep(delay)
            woken.append((asyncio.get_running_loop().time(), number))

        await asyncio.gather(*(sleeper(i, d) for i, d in enumerate(delays)))
        return woken

    return run_virtual(story())


@given(st.lists(st.sampled_from([0.1, 0.2, 0.30000000000000004, 7.0, 1e5]), max_size=40))
def test_equal_deadlines_wake_in_the_order_they_were_set(delays):
    woken = wake_order(delays)
    assert [number for _, number in woken] == sorted(range(len(delays)), key=lambda i: (delays[i], i))
    assert all(abs(time - delays[number]) < 1e-6 for time, number in woken)


def test_a_long_sleep_costs_no_time():
    async def story():
        async with asyncio.timeout(2e6):
            await asyncio.sleep(1e6)
        return asyncio.get_running_loop().time()

    assert run_virtual(story()) == pytest.approx(1e6)


def test_timeouts_fire():
    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert run_virtual(story()) == pytest.approx(3)


def test_deadlock_is_an_error():
    async def story():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualTimeError, match="deadlock"):
        run_virtual(story())


def test_threads_are_an_error():
    with pytest.raises(VirtualTimeError, match="thread"):
        run_virtual(asyncio.to_thread(print))


def test_sockets_are_an_error():
    async def story():
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            await asyncio.get_running_loop().sock_recv(here, 1)

    with pytest.raises(VirtualTimeError, match="socket"):
        run_virtual(story())


def test_livelock_is_an_error(monkeypatch):
    monkeypatch.setattr("concur_batch.virtual._LIVELOCK", 1000)

    async def story():
        turns = 0
        while turns < 100_000:
            turns += 1
            await asyncio.sleep(0)

    with pytest.raises(VirtualTimeError, match="livelock"):
        run_virtual(story())


def test_a_callback_that_raises_ends_it():
    async def story():
        asyncio.get_running_loop().call_later(1.0, lambda: 1 // 0)
        while True:  # somebody whose timer is always set
            await asyncio.sleep(1.0)

    with pytest.raises(ZeroDivisionError):
        run_virtual(story())
