"""What time it is in a run that another process writes, perhaps on a node whose clock is not ours. Pure."""

from __future__ import annotations

from concur_batch.state import RunState

LATE_S = 5.0  # so much later than it was written a record of another host may be seen, before the clocks are taken to differ


class RunClock:
    """`saw` what is new; `now` is then seconds on the clock of the present segment. Walls are our own seconds since 1970.

    On the run's own host a record is as old as the wall clock says, and its file: the record alone would be off after a suspend, the
    file where a server has another time. From elsewhere a record just seen counts as at most a few seconds old, as they come about
    once a second: the wall clock tells the rest, unless it is off by more.
    """

    def __init__(self, host: str) -> None:
        """`host`: ours."""
        self._host = host
        self._skew_s = 0.0

    def saw(self, state: RunState, wall: float, written: float) -> None:
        """The state's newest record has just been read, from a file that was last written to at `written`."""
        late_s = wall - state.epoch - state.time
        if state.segment is not None and state.segment.host == self._host:
            age_s = max(0.0, min(late_s, wall - written))
        else:
            age_s = late_s if 0.0 <= late_s <= LATE_S else 0.0
        self._skew_s = late_s - age_s

    def now(self, state: RunState, wall: float) -> float:
        """Never before the newest record; and at it, once the segment has ended."""
        if state.finished is not None or not state.segments:
            return state.time
        return max(state.time, wall - state.epoch - self._skew_s)
