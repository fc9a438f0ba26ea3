from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from concur_batch.errors import ToolError
from concur_batch.toolbox.threads import DaemonThreads


def test_results_and_errors_come_back() -> None:
    async def story() -> None:
        threads = DaemonThreads(2)
        variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
        variable.set(5)
        assert await threads.run(lambda: (variable.get(), threading.current_thread().daemon)) == (5, True)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        with pytest.raises(RuntimeError, match="SystemExit: 3"):
            await threads.run(lambda: sys.exit(3))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(lambda: next(iter([])))
        threads.close()

    asyncio.run(story())


def test_no_more_threads_than_allowed() -> None:
    async def story() -> int:
        threads = DaemonThreads(3)
        alive: set[int] = set()
        await asyncio.gather(*(threads.run(lambda: alive.add(threading.get_ident())) for _ in range(200)))
        threads.close()
        return len(alive)

    assert 1 <= asyncio.run(story()) <= 3


def test_a_hanging_call_takes_no_thread_from_the_others() -> None:
    release = threading.Event()

    async def story() -> list[int]:
        threads = DaemonThreads(1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await threads.run(release.wait)
        done = [await threads.run(lambda k=k: k) for k in range(3)]
        release.set()
        threads.close()
        return done

    assert asyncio.run(story()) == [0, 1, 2]


def test_a_hanging_thread_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from concur_batch.toolbox.threads import DaemonThreads

async def main():
    try:
        async with asyncio.timeout(0.01):
            await DaemonThreads(1).run(threading.Event().wait)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "gave up\n"


def test_who_waited_behind_hanging_calls_runs_though_nobody_calls_any_more() -> None:
    release = threading.Event()

    async def story() -> list[int]:
        threads = DaemonThreads(2)

        async def hang() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await threads.run(release.wait)

        async with asyncio.timeout(20):
            *_, first, second = await asyncio.gather(hang(), hang(), threads.run(lambda: 1), threads.run(lambda: 2))
        release.set()
        threads.close()
        return [first, second]

    assert asyncio.run(story()) == [1, 2]


def test_a_call_begins_when_a_thread_is_free() -> None:
    release = threading.Event()

    async def story() -> tuple[bool, str, bool]:
        threads, clock = DaemonThreads(1), asyncio.get_running_loop().time
        first = await threads.begin(release.wait)
        waiting = asyncio.ensure_future(threads.begin(lambda: "second"))
        await asyncio.sleep(0.02)
        waited = not waiting.done()
        freed = clock()
        release.set()
        second = await waiting
        outcome = await second.outcome()
        await first.outcome()
        threads.close()
        return waited, outcome, first.time < freed <= second.time <= clock()

    assert asyncio.run(story()) == (True, "second", True)


def test_who_is_cancelled_while_waiting_for_a_thread_is_never_called() -> None:
    release, called = threading.Event(), []

    async def story() -> None:
        threads = DaemonThreads(1)
        first = await threads.begin(release.wait)
        waiting = asyncio.ensure_future(threads.run(lambda: called.append("waiting")))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()
        release.set()
        await first.outcome()
        await threads.run(lambda: called.append("next"))  # the one thread that there is
        threads.close()

    asyncio.run(story())
    assert called == ["next"]


def test_where_all_threads_hang_whoever_waits_fails_until_one_ends(caplog: pytest.LogCaptureFixture) -> None:
    releases = [threading.Event() for _ in range(3)]
    told = "all 3 threads of plain tools hang in calls that did not end; make the tool that hangs an async function"

    async def story() -> list[int]:
        threads = DaemonThreads(2, max_lost=1)

        async def hang(release: threading.Event) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await threads.run(release.wait)

        async def fail() -> None:
            with pytest.raises(ToolError, match=told):
                await threads.run(lambda: 1)

        await hang(releases[0])  # written off
        await asyncio.gather(hang(releases[1]), hang(releases[2]), fail(), fail())  # these waited
        await fail()  # this one came later
        done = []
        for count, release in enumerate(releases, 1):  # the first to end is the one that was written off
            release.set()
            while threads.hanging > len(releases) - count:
                await asyncio.sleep(0.001)
            done.append(await threads.run(lambda k=count: k))
        threads.close()
        return done

    assert asyncio.run(story()) == [1, 2, 3]
    assert [record.getMessage().startswith(told) for record in caplog.records] == [True]
