"""What one drawing is of, and how it may be drawn."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from concur_batch.dashboard import figures
from concur_batch.state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`now`: seconds on the clock of the present segment."""

    state: RunState
    now: float
    title: str = ""
    ascii_only: bool = False
    keys: bool = False
    steering: bool = True  # among the keys are those that hold admission and scale the limit
    last: bool = False  # the picture that stays

    @property
    def elapsed(self) -> float:
        """Seconds of work since the run's start."""
        return self.state.elapsed_before + self.now

    def clean(self, text: str) -> str:
        """Foreign text on one line, harmless."""
        return figures.clean(text, ascii_only=self.ascii_only)

    def fit(self, text: str, width: int) -> str:
        """Exactly so many cells of text that is clean."""
        return figures.fit(text, width, ascii_only=self.ascii_only)

    def foreign(self, text: str, width: int) -> Text:
        """Foreign text in exactly so many cells."""
        return Text(self.fit(self.clean(text), width))

    def sign(self, usual: str, plain: str) -> str:
        """A character, or what stands for it in ASCII."""
        return plain if self.ascii_only else usual

    @property
    def times(self) -> str:
        """Before or behind a factor."""
        return self.sign("\N{MULTIPLICATION SIGN}", "x")
