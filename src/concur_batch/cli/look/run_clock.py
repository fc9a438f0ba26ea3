"""What time it is in a run that another process writes, perhaps on a node whose clock is not ours. Pure."""

from __future__ import annotations

from concur_batch.state import RunState

LATE_S = 5.0  # so much later than it was written a record may be seen, before the clocks are taken to differ


class RunClock:
    """`saw` what is new; `now` is then seconds on the clock of the present segment. Walls are our own seconds since 1970.

    Records come about once a second, so that one just seen is at most a few seconds old: the wall clock tells the rest, unless
    it is off by more.
    """

    def __init__(self) -> None:
        self._skew_s = 0.0

    def saw(self, state: RunState, wall: float) -> None:
        """The state's newest record has just been read."""
        late_s = wall - state.epoch - state.time
        self._skew_s = 0.0 if 0.0 <= late_s <= LATE_S else late_s

    def now(self, state: RunState, wall: float) -> float:
        """Never before the newest record; and at it, once the segment has ended."""
        if state.finished is not None or not state.segments:
            return state.time
        return max(state.time, wall - state.epoch - self._skew_s)
