"""What each key of the dashboard does. Nothing here reads a terminal: see `keyboard`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from concur_batch.control.base import UNLIMITED
from concur_batch.control.steering import Steering
from concur_batch.dashboard.view import View
from concur_batch.errors import ConcurError

RUN_KEYS = "peq+-=0"
WATCH_KEYS = "eq"


class Steerable(Protocol):
    """A runner, as far as keys know it."""

    steering: Steering

    def steer(self, steering: Steering) -> None:
        """From now on."""
        ...


class Views:
    """Which picture is wanted."""

    def __init__(self) -> None:
        self.shown: View = "main"

    def toggle(self) -> None:
        """The errors, or back."""
        self.shown = "main" if self.shown == "errors" else "errors"


class RunKeys:
    """For one who watches a run of so many rollouts from where it was started. `quit_run`: what `q` does."""

    def __init__(self, runner: Steerable, quit_run: Callable[[], None], rollouts: int = UNLIMITED) -> None:
        self._runner = runner
        self._rollouts = rollouts
        self._quit = quit_run
        self.views = Views()

    def press(self, key: str) -> None:
        """One of RUN_KEYS. A journal that cannot be written meanwhile ends the run by itself."""
        steering = replace(self._runner.steering, rollouts=self._rollouts)
        with contextlib.suppress(ConcurError):
            match key:
                case "p":
                    self._runner.steer(steering.toggled())
                case "+" | "=":  # the same key on many keyboards
                    self._runner.steer(steering.nudged(1))
                case "-":
                    self._runner.steer(steering.nudged(-1))
                case "0":
                    self._runner.steer(steering.reset())
                case "e":
                    self.views.toggle()
                case "q":
                    self._quit()


class WatchKeys:
    """For one who looks on. `leave`: what `q` does."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self.views = Views()

    def press(self, key: str) -> None:
        """One of WATCH_KEYS."""
        if key == "q":
            self._leave()
        else:
            self.views.toggle()
