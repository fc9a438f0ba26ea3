"""Seconds of work over all segments of a run: `t` begins anew with each, and the time between them does not count. Pure."""

from __future__ import annotations

from concur_batch import records as r


class Elapsed:
    """`at` every record in order."""

    def __init__(self) -> None:
        self.now = 0.0  # of the latest moment seen
        self._before = 0.0  # what earlier segments took

    def at(self, record: r.Record) -> float:
        """When the record was written, in seconds of work since the batch's start."""
        if isinstance(record, r.SegmentStarted):
            self._before = self.now
        moment = self._before + record.t
        self.now = max(self.now, moment)
        return moment
