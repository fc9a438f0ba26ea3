"""A run as one sees it who only looks on: from its journal and its lock, whoever writes it and wherever."""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

from concur_batch.cli.directory import CONFIG, going_on
from concur_batch.cli.look.run_clock import RunClock
from concur_batch.dashboard.figures import progress
from concur_batch.errors import RunDirectoryError
from concur_batch.journal.follower import Follower
from concur_batch.journal.lock import Holder, holder_of
from concur_batch.journal.slim import SlimState
from concur_batch.journal.writer import FOLDER
from concur_batch.status import BROKE_OFF

SILENT_S = 30.0  # a run at work writes about once a second


class Onlooker:
    """`look` again and again; the rest tells what there is to see. `state` is always the same object."""

    def __init__(self, run_dir: Path, *, wall: Callable[[], float] = time.time, patience: int | None = None) -> None:
        """Raises RunDirectoryError for a place where no run can come to be."""
        check_place(run_dir)
        self.run_dir = run_dir
        self.state = SlimState()
        self.caught_up = False
        """Whether all has been read that was there at some moment since the start."""
        self._wall = wall
        self._follower = Follower(run_dir) if patience is None else Follower(run_dir, patience=patience)
        self._clock = RunClock(socket.gethostname())
        self._forgets = 0
        self._holder: Holder | None = None
        self._going_on = ""  # what can be done where it broke off

    def look(self) -> bool:
        """Take a block of records in; whether there may be more right now. Raises RunDirectoryError for a broken journal."""
        holder = holder_of(self.run_dir) if self.caught_up or not self.state.segments else self._holder
        records = self._follower.more()  # after the lock: what a process wrote before it let go is then in
        if self._follower.forgets != self._forgets:
            self._forgets = self._follower.forgets
            self.caught_up = False
            self.state.__init__()  # type: ignore[misc] # the same object, as new: another run has taken the place
        state = self.state
        if records:
            if state.finished == BROKE_OFF:
                state.go_on()
            for record in records:
                state.apply(record)
            self._clock.saw(state, self._wall(), self._follower.written)
            return True
        if not self.caught_up:
            self.caught_up = True
            holder = holder_of(self.run_dir)
            if holder is None:
                return True  # it may have ended just now: once more
        self._holder = holder
        if holder is None and state.has_begun and state.finished is None:
            state.break_off(BROKE_OFF)
            self._going_on = going_on(self.run_dir)
        return False

    @property
    def now(self) -> float:
        """Seconds on the clock of the present segment."""
        return self._clock.now(self.state, self._wall())

    @property
    def ended(self) -> bool:
        """Nobody works on it any more, for now: another process may take it up."""
        return self.state.finished is not None

    @property
    def is_held(self) -> bool:
        """Whether a process works on it, or is about to."""
        return self._holder is not None

    @property
    def share_read(self) -> float:
        """Of the journal, while it has not been read to its end."""
        return self._follower.share

    @property
    def remark(self) -> str:
        """What the picture of the run does not tell; empty where it tells all."""
        state, holder = self.state, self._holder
        if not self.caught_up:
            return f"reading the journal: {progress(self.share_read, 1)}"
        if not state.has_begun:
            return self._unbegun if holder is None else f"a run is about to begin in {self.run_dir}"
        if state.finished == BROKE_OFF:
            return f"its process ended without a word; {self._going_on}"
        if state.finished is not None:
            return ""
        silent_s = self.now - state.time
        if holder is None or silent_s < SILENT_S:
            return ""
        whose = f"process {holder.pid} on {holder.host}"
        what = "cannot be seen from here and may be gone" if holder.alive is None else "is there and stands still"
        return f"no record for {silent_s:.0f} s: {whose} {what}"

    @property
    def _unbegun(self) -> str:
        told = without_journal(self.run_dir)
        if told is not None:
            return f"{self.run_dir} {told}"
        parent = self.run_dir.absolute().parent
        where = "" if parent.is_dir() else f" (nor is there {self.run_dir.parent})"
        return f"no run at {self.run_dir} yet{where}; waiting for it to begin"


def without_journal(run_dir: Path) -> str | None:
    """What is said of a run of which no record is there, nor a process that works on it. None: none has come to be here."""
    try:
        if (run_dir / "results.parquet").exists():
            return f"has lost its journal; its results are left: concur results {shlex.quote(str(run_dir))}"
        return f"has not begun; {going_on(run_dir)}" if (run_dir / CONFIG).exists() else None
    except OSError:
        return None


def check_place(run_dir: Path) -> None:
    """Raises RunDirectoryError where there is neither a run nor a place at which one may yet begin."""
    wrong = "give the directory that `concur run` named"
    try:
        if run_dir.exists() and not run_dir.is_dir():
            raise RunDirectoryError(f"{run_dir}: is a file; {wrong}")
        nearest = next(place for place in run_dir.absolute().parents if place.exists())
        if not nearest.is_dir():
            raise RunDirectoryError(f"{run_dir}: {nearest.name} is a file; {wrong}")
        ours = any((run_dir / name).exists() for name in (FOLDER, CONFIG, "lock"))
        if not ours and run_dir.is_dir() and next(run_dir.iterdir(), None) is not None:
            raise RunDirectoryError(f"{run_dir}: holds no run (there is no {CONFIG}); {wrong}")
    except OSError as error:
        raise RunDirectoryError(f"{run_dir}: cannot be read ({error.strerror}); {wrong}") from error
