"""The one place where records are made public: to the journal, and to whoever else listens. Gives them their time."""

from __future__ import annotations

from collections.abc import Callable

from concur_batch.records import Record

Sink = Callable[[Record], None]


class Recorder:
    """`now()` is what a record's `t` has to be; `write` hands it to every sink in order, the journal first."""

    def __init__(self, clock: Callable[[], float], *sinks: Sink) -> None:
        self.on_failure: Callable[[BaseException], None] | None = None
        """Told of every failed write, whoever tried it: without its journal a run must not go on."""
        self._clock = clock
        self._zero = clock()
        self._sinks = sinks

    def now(self) -> float:
        """Seconds on the loop clock since this segment was opened."""
        return round(self._clock() - self._zero, 6)

    def write(self, record: Record) -> None:
        """Raises what the journal raises; then no other sink has seen the record."""
        try:
            for sink in self._sinks:
                sink(record)
        except BaseException as error:
            if self.on_failure is not None:
                self.on_failure(error)
            raise
