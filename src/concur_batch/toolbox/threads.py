"""Threads for tools that are plain functions. They are daemons: one that hangs keeps neither the run nor the process alive."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Job:
    future: Future[Any]
    context: contextvars.Context
    function: Callable[[], Any]
    lost: bool = False  # given up while it ran; its thread ends after it


class DaemonThreads:
    """At most `size` threads at work. One whose call was given up is written off and replaced, up to `max_lost` of them.

    The standard executor waits for its threads when the interpreter ends, so that a hanging tool would keep it.
    """

    def __init__(self, size: int, max_lost: int = 256) -> None:
        self._size = size
        self._max_lost = max_lost
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._lost = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises. A cancelled call leaves its thread to itself: threads cannot be ended."""
        job = self._begin(function)
        try:
            return await asyncio.wrap_future(job.future)
        finally:
            if job.future.running():  # given up
                with self._lock:
                    if self._lost < self._max_lost and job.future.running():
                        self._lost += 1
                        self._threads -= 1
                        job.lost = True
                        self._start()

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """What will come of it, for whoever does not give up."""
        return self._begin(function).future

    def _begin(self, function: Callable[[], Any]) -> _Job:
        job = _Job(Future(), contextvars.copy_context(), function)
        self._jobs.put(job)
        with self._lock:
            self._start()
        return job

    def _start(self) -> None:
        """One more, if a job waits for it. Holding the lock."""
        if self._idle < self._jobs.qsize() and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._work, name="concur-tool", daemon=True).start()

    def close(self) -> None:
        """Let idle threads end."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                return
            if job.future.set_running_or_notify_cancel():
                self._do(job)
            with self._lock:
                if job.lost:
                    self._lost -= 1
                    return

    @staticmethod
    def _do(job: _Job) -> None:
        try:
            result = job.context.run(job.function)
        except Exception as error:  # noqa: BLE001  (whatever the tool raises is the call's outcome)
            # asyncio's futures cannot carry a StopIteration
            job.future.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)
        except BaseException as error:  # noqa: BLE001  (sys.exit() in a tool ends the call, not the run)
            job.future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            job.future.set_result(result)


class DaemonExecutor(ThreadPoolExecutor):
    """Such threads as an event loop's own executor: what an agent gives to `asyncio.to_thread` keeps no run from its end."""

    def __init__(self, size: int) -> None:
        super().__init__(1)  # starts none of its own
        self._daemons = DaemonThreads(size)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """As any executor's."""
        return self._daemons.submit(functools.partial(function, *arguments, **named))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - an executor's form
        """Waits for nobody."""
        self._daemons.close()
