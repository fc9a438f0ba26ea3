"""How long agents take from one model call to the next, and for how much of that they hold their slots. Pure."""

from __future__ import annotations

_MEMORY = 0.999  # of steps
_LEAST_STEPS = 8  # before which nothing is said


class Cycle:
    """Told of each step by `passed`. A step is a model call and the tool call after it, if there is one."""

    def __init__(self) -> None:
        self._steps = 0.0
        self._model_s = self._held_s = self._whole_s = 0.0

    def passed(self, model_s: float, held_s: float = 0.0, tool_s: float = 0.0) -> None:
        """Seconds of the model call, of the tool call as long as its agent kept its slot, and of all of the tool call."""
        self._model_s = _MEMORY * self._model_s + model_s
        self._held_s = _MEMORY * self._held_s + model_s + held_s
        self._whole_s = _MEMORY * self._whole_s + model_s + tool_s
        self._steps = _MEMORY * self._steps + 1

    @property
    def step_s(self) -> float | None:
        """Of a step, in the mean. None: not known yet."""
        return self._whole_s / self._steps if self._steps >= _LEAST_STEPS else None

    @property
    def holding_share(self) -> float:
        """Of that time, the share in which an agent holds its slot; 1 before anything is known."""
        return self._held_s / self._whole_s if self._whole_s else 1.0

    @property
    def calling_share(self) -> float:
        """Of the time with a slot, the share in model calls; 1 before anything is known."""
        return self._model_s / self._held_s if self._model_s else 1.0
