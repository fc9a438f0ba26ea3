"""The runner's measure of itself: written beside a real run, until the run ends or its journal breaks."""

import asyncio
from itertools import pairwise

from concur_batch.cli.run.measure import measure
from concur_batch.errors import RunDirectoryError
from concur_batch.recorder import Recorder
from concur_batch.records import RunnerMeasured
from concur_batch.state import fold


def measured(*sinks, lags=(0.5, 0.0, 0.25)):
    """What was written until three were asked for their lag, each after a little work."""
    records, left = [], list(lags)

    async def story():
        recorder = Recorder(asyncio.get_running_loop().time, records.append, *sinks)
        enough = asyncio.Event()

        def take_lag():
            if len(left) == 1:
                enough.set()
            return left.pop(0)

        task = asyncio.create_task(measure(recorder, take_lag, interval_s=0.01))
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for one in (task, waiting):
            one.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        return task.cancelled()

    return asyncio.run(story()), records


def test_each_interval_has_its_own_figures():
    cancelled, records = measured()
    assert cancelled
    assert {type(x) for x in records} == {RunnerMeasured}
    assert [x.lag_s for x in records] == [0.5, 0.0, 0.25]
    assert all(x.seconds > 0 and x.cpu_s >= 0 and x.resident_bytes > 1_000_000 for x in records)
    assert all(abs((b.t - a.t) - b.seconds) < 0.002 for a, b in pairwise(records))
    assert fold(records).runner == records[-1]


def test_a_journal_that_breaks_ends_it_quietly():
    def broken(_):
        raise RunDirectoryError("no room")

    cancelled, records = measured(broken)
    assert (cancelled, len(records)) == (False, 1)
