"""Jobs in processes side by side: what comes back, and an end in the middle."""

import multiprocessing
import operator
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from concur_batch.cli.trial.side_by_side import Workers

LONG = 60.0
"""s. Longer than the test may take."""


@pytest.mark.parametrize("count", [1, 2])
def test_all_that_was_given_comes_back(count):
    workers = Workers(operator.add, count, 100)
    with workers.running():
        for number in range(8):
            workers.give(str(number), number)
        came = dict(workers.next() for _ in range(8))
        assert workers.under_way == []
    assert came == {str(number): 100 + number for number in range(8)}


@pytest.mark.parametrize("jobs", [2, 12])  # without and with some that no process has taken yet
@pytest.mark.parametrize("later", [0.0, 0.5])
def test_an_end_in_the_middle_is_quiet_and_leaves_no_process(jobs, later, monkeypatch):
    """Whether the pool's thread first finds its processes gone or learns that it is to end."""
    shutdown = ProcessPoolExecutor.shutdown
    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", lambda *given, **named: (time.sleep(later), shutdown(*given, **named)))
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    before = multiprocessing.active_children()
    began = time.monotonic()
    workers = Workers(operator.call, 2, time.sleep)

    def leave():
        with workers.running():
            workers.give("short", 0.0)
            for number in range(jobs):
                workers.give(number, LONG)
            workers.next()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert told == []
    assert multiprocessing.active_children() == before
    assert time.monotonic() - began < LONG
