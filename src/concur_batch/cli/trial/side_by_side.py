"""Run a function over many jobs in processes side by side, and end all of them at once where that is wanted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from concur_batch.errors import ConcurError

K = TypeVar("K")
S = TypeVar("S")
J = TypeVar("J")
R = TypeVar("R")


def cores() -> int:
    """Of this machine, as many as we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers(Generic[K, S, J, R]):
    """`work(shared, job)` must be a function of a module, and all it takes and gives must pickle. Jobs are to be small: what is
    large goes into `shared`, which each process gets as it starts. Use it by `with workers.running():`.

    A job that does not fit into a pipe would be stuck in it, and we with it, were its process ended before it was read. However
    the block is left, all processes are ended at once, in mid-job too; and they end when we are killed. Ctrl-C reaches us alone.
    With one worker all happens in this process, as `next` is called.
    """

    def __init__(self, work: Callable[[S, J], R], count: int, shared: S) -> None:
        self._work = work
        self._count = count
        self._shared = shared
        self._pool: ProcessPoolExecutor | None = None
        self._futures: dict[Future[R], K] = {}
        self._here: dict[K, J] = {}
        self._others = multiprocessing.active_children()

    @property
    def under_way(self) -> list[K]:
        """Keys of the jobs that have not been handed out by `next`."""
        return [*self._here, *self._futures.values()]

    @contextmanager
    def running(self) -> Iterator[None]:
        """As long as jobs are to be given."""
        try:
            if self._count > 1:
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self._count, mp_context=spawn, initializer=_begin, initargs=(self._shared,))
            yield
        finally:
            if self._pool is not None:
                self._end(self._pool)

    def give(self, key: K, job: J) -> None:
        """Have it done."""
        if self._pool is None:
            self._here[key] = job
            return
        with _signals_blocked():  # a new process keeps them blocked
            self._futures[self._pool.submit(_do, self._work, job)] = key

    def next(self) -> tuple[K, R]:
        """One that is done. Raises what its work raised; ConcurError where a process was ended from outside."""
        if self._pool is None:
            key = next(iter(self._here))
            return key, self._work(self._shared, self._here.pop(key))
        done = next(iter(wait(self._futures, return_when=FIRST_COMPLETED).done))
        try:
            return self._futures.pop(done), done.result()
        except BrokenProcessPool:
            raise ConcurError(
                "a process of the comparison was ended from outside, perhaps for want of memory; try again with --workers 1"
            ) from None

    def _end(self, pool: ProcessPoolExecutor) -> None:
        # No future is cancelled here: the pool's thread fails all that are left when it finds a process gone, and a cancelled one
        # ends that thread by an InvalidStateError.
        if self._futures:
            for process in multiprocessing.active_children():
                if process not in self._others:
                    process.kill()  # it may not have begun to heed a SIGTERM
        pool.shutdown(cancel_futures=True)


_shared: Any = None  # in a new process: what all its jobs are given


def _begin(shared: object) -> None:
    """In a new process: do not outlive the one that wants the results."""
    global _shared  # noqa: PLW0603 - a process has no other place to keep it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # by which it is ended
    _shared = shared
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _do(work: Callable[[Any, J], R], job: J) -> R:
    return work(_shared, job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
