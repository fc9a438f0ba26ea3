"""Threads for tools that are plain functions. They are daemons: one that hangs keeps neither the run nor the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from concur_batch.errors import ToolError

_log = logging.getLogger("concur_batch.toolbox")


@dataclass(slots=True, eq=False)
class _Job:
    future: Future[Any]
    context: contextvars.Context
    function: Callable[[], Any]
    tell: Callable[[], None] | None  # that it begins; called in its thread
    lost: bool = False  # given up while it ran; its thread ends after it


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that runs in a thread."""

    time: float  # when it began, by the event loop's clock
    job: _Job
    give_up: Callable[[_Job], None]

    @property
    def is_done(self) -> bool:
        """Whether it has ended, though the event loop may not have heard of it yet."""
        return self.job.future.done()

    def result(self) -> Any:
        """What a call that is done returned or raises."""
        return self.job.future.result()

    async def outcome(self) -> Any:
        """What the function returns or raises. A cancelled call leaves its thread to itself."""
        future = self.job.future
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.running():
                self.give_up(self.job)


class DaemonThreads:
    """At most `size` threads at work. One whose call was given up is written off and replaced, up to `max_lost` of them.

    When those are lost and all others hang too, whoever waits for a thread, or comes then, fails with a ToolError.
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
        self._stuck: set[_Job] = set()  # given up while they ran, and not replaced
        self._told = False  # that all of them hang

    @property
    def hanging(self) -> int:
        """Calls that were given up and have not ended."""
        return self._lost + len(self._stuck)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises. A cancelled call leaves its thread to itself: threads cannot be ended."""
        return await (await self.begin(function)).outcome()

    async def begin(self, function: Callable[[], Any]) -> Begun:
        """Wait for a thread, until the function runs in it. Who is cancelled meanwhile has not called it."""
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[float] = loop.create_future()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, begun, loop.time())

        job = self._put(function, tell)
        try:
            return Begun(await begun, job, self._give_up)
        except asyncio.CancelledError:
            if not job.future.cancel():  # it began just now
                self._give_up(job)
            raise

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """What will come of it, for whoever does not give up."""
        return self._put(function).future

    def _give_up(self, job: _Job) -> None:
        """Another thread takes the place of the one that runs it."""
        with self._lock:
            if not job.future.running():
                return
            if self._lost < self._max_lost:
                self._lost += 1
                self._threads -= 1
                job.lost = True
                self._start()
            else:
                self._stuck.add(job)
                self._fail_waiting()

    def _put(self, function: Callable[[], Any], tell: Callable[[], None] | None = None) -> _Job:
        job = _Job(Future(), contextvars.copy_context(), function, tell)
        self._jobs.put(job)
        with self._lock:
            self._start()
            self._fail_waiting()
        return job

    def _start(self) -> None:
        """One more, if a job waits for it. Holding the lock."""
        if self._idle < self._jobs.qsize() and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._work, name="concur-tool", daemon=True).start()

    def _fail_waiting(self) -> None:
        """Where every thread hangs, nobody who waits for one waits any longer. Holding the lock."""
        if len(self._stuck) < self._size:
            return
        text = (
            f"all {self.hanging} threads of plain tools hang in calls that did not end; "
            "make the tool that hangs an async function, or let it end by itself"
        )
        if not self._told:
            self._told = True
            _log.warning("%s. Calls of plain tools fail until one of these ends", text)
        while not self._jobs.empty():  # nobody else takes from it now
            job = self._jobs.get()
            if job is not None and job.future.set_running_or_notify_cancel():
                if job.tell is not None:
                    job.tell()
                job.future.set_exception(ToolError(text))

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
                self._stuck.discard(job)
                if job.lost and not self._stuck:
                    self._lost -= 1
                    return
                if job.lost:  # it goes on, and one that was not replaced is written off in its place
                    self._stuck.pop().lost = True

    @staticmethod
    def _do(job: _Job) -> None:
        if job.tell is not None:
            job.tell()
        try:
            result = job.context.run(job.function)
        except Exception as error:  # noqa: BLE001  (whatever the tool raises is the call's outcome)
            # asyncio's futures cannot carry a StopIteration
            job.future.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)
        except BaseException as error:  # noqa: BLE001  (sys.exit() in a tool ends the call, not the run)
            job.future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            job.future.set_result(result)


def _settle(begun: asyncio.Future[float], time: float) -> None:
    if not begun.done():
        begun.set_result(time)


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
