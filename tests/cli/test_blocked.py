"""An event loop that somebody holds."""

import asyncio
import time

import pytest

from concur_batch.cli.run import blocked


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(blocked, "_LOOK_S", 0.02)


def run(*, naps):
    async def main():
        with blocked.told(asyncio.get_running_loop()):
            for seconds in naps:
                time.sleep(seconds)  # noqa: ASYNC251 - what is to be told
                await asyncio.sleep(0.1)

    asyncio.run(main())


def test_who_holds_it_is_told_once_each_time(capfd, caplog):
    run(naps=[0.6, 0.6])
    told = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(told) == len(caplog.records) == 2
    assert "test_blocked.py:20 (main) holds the event loop" in told[0]


def test_a_loop_that_goes_on_is_not_told(capfd):
    run(naps=[0.05] * 8)
    assert capfd.readouterr().err == ""
