from __future__ import annotations

import asyncio

import pytest

from concur_batch.toolbox.rate import Rate, RateGate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", (5, 1.0)),
        (" 100 / MIN ", (100, 60.0)),
        ("30/10s", (30, 10.0)),
        ("0.5/s", (1, 2.0)),
        ("2.5/s", (1, 0.4)),
        (4, (4, 1.0)),
        (0.1, (1, 10.0)),
        ((7, 2.5), (7, 2.5)),
    ],
)
def test_rates_are_read(text: str | float | tuple[float, float], rate: tuple[int, float]) -> None:
    assert parse_rate(text) == Rate(*rate)


@pytest.mark.parametrize("text", ["", "5", "5/fortnight", "x/s", "0/s", "1..2/s", "-1/s", 0, -2, (1, 0)])
def test_other_rates_are_refused(text: str | float | tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a rate is"):
        parse_rate(text)


def test_of_many_waiters_one_polls_and_all_pass_in_order() -> None:
    async def story() -> tuple[list[int], int]:
        gate = RateGate(Rate(25, 0.001))
        polling, most, passed = 0, 0, []
        acquire = gate._throttler.acquire

        async def counted() -> None:
            nonlocal polling, most
            polling += 1
            most = max(most, polling)
            await acquire()
            polling -= 1

        gate._throttler.acquire = counted

        async def call(k: int) -> None:
            await gate.enter()
            passed.append(k)

        await asyncio.gather(*(call(k) for k in range(500)))
        return passed, most

    assert asyncio.run(story()) == (list(range(500)), 1)


def test_a_cancelled_waiter_does_not_stop_the_others() -> None:
    async def story() -> int:
        gate = RateGate(Rate(1, 0.02))
        tasks = [asyncio.create_task(gate.enter()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        return sum(task.cancelled() for task in tasks)

    assert asyncio.run(story()) == 1
