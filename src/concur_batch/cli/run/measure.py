"""Every few seconds, what the runner's own process takes: CPU, memory, lateness of its loop. Only for runs in real time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import psutil

from concur_batch.errors import ConcurError
from concur_batch.recorder import Recorder
from concur_batch.records import RunnerMeasured

INTERVAL_S = 5.0


async def measure(recorder: Recorder, take_lag: Callable[[], float], *, interval_s: float = INTERVAL_S) -> None:
    """Write a record each interval, until cancelled or the journal breaks. `take_lag`: the worst lateness since last asked."""
    process = psutil.Process()
    began, cpu_s = recorder.now(), time.process_time()
    with contextlib.suppress(ConcurError):  # a broken journal is reported by who runs the batch
        while True:
            await asyncio.sleep(interval_s)
            now, used_s = recorder.now(), time.process_time()
            recorder.write(
                RunnerMeasured(
                    t=now,
                    seconds=round(now - began, 3),
                    cpu_s=round(used_s - cpu_s, 4),
                    resident_bytes=process.memory_info().rss,
                    lag_s=round(take_lag(), 4),
                )
            )
            began, cpu_s = now, used_s
