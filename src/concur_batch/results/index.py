"""Where in the journal each rollout's last attempt stands: 8 bytes per record kept, no content."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from concur_batch import records as r
from concur_batch.task import rollout_id


@dataclass(slots=True, kw_only=True)
class Trace:
    """One rollout's last attempt. Dates are seconds since 1970, each from the segment that its record stands in."""

    index: int  # of the task in the job
    k: int
    positions: array[int] = field(default_factory=lambda: array("q"))  # starts, replies, observations, end
    started: float | None = None  # None: its start is not in the journal
    finished: float | None = None  # None: no terminal record

    @property
    def place(self) -> tuple[int, int]:
        """Sorts rollouts into job order."""
        return self.index, self.k


class RolloutIndex:
    """`add` every record in order, then take the finished rollouts out with `drain`."""

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}

    def add(self, position: int, record: r.Record, epoch: float) -> None:
        """Note a record; `epoch` is the wall clock of its segment's t = 0. Kinds that make no row are passed over."""
        if isinstance(record, r.ReplyReceived | r.ToolFinished):
            self._trace(record.rollout).positions.append(position)
        elif isinstance(record, r.RolloutStarted):
            if not (record.resumed and record.rollout in self._traces):  # another attempt takes the place of the last
                started = None if record.resumed else epoch + record.t
                self._traces[record.rollout] = Trace(index=record.index, k=record.k, started=started)
            self._traces[record.rollout].positions.append(position)
        elif isinstance(record, r.RolloutFinished):
            trace = self._trace(record.rollout)
            trace.positions.append(position)
            trace.finished = epoch + record.t

    def _trace(self, rollout: str) -> Trace:
        trace = self._traces.get(rollout)
        if trace is None:  # ended before its start was recorded: last in the order
            k = rollout.rpartition("#")[2]
            trace = self._traces[rollout] = Trace(index=2**62, k=int(k) if k.isdecimal() else 0)
        return trace

    def drain(self, order: Iterable[tuple[str, int]] | None = None) -> Iterator[tuple[str, Trace]]:
        """Every rollout that has a terminal record, in job order, each forgotten once given.

        Args:
            order: task id and number of rollouts, in job order. Rollouts that it does not name follow, by the journal's
                own index and k, which is also the order where none is given.
        """
        for task, n in order or ():
            for k in range(n):
                rollout = rollout_id(task, k)
                trace = self._traces.pop(rollout, None)
                if trace is not None and trace.finished is not None:
                    yield rollout, trace
        for rollout in sorted(self._traces, key=lambda name: self._traces[name].place):
            trace = self._traces.pop(rollout)
            if trace.finished is not None:
                yield rollout, trace
