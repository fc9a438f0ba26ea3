"""Series as aligned sparklines with their numbers, for a terminal of any width, with or without Unicode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from concur_batch.results.summary import duration

_BLOCKS = "▁▂▃▄▅▆▇█"
_BLOCKS_ASCII = "_.:-=+*#"
_NAME = 12  # cells of a name, with the gap after it
_FIGURE = 7  # cells of a number, with the gap before it
_FIGURES = (("first", 52), ("last", 44), ("min", 68), ("max", 36))  # each is shown from this width on


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One line: values in order of time, None where nothing is known; a full block is `top` or more (None: the greatest)."""

    name: str
    values: Sequence[float | None]
    top: float | None = None
    is_share: bool = False  # 0..1, written in percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparklines:
    """A rich renderable. `tracks(columns)` gives the lines, each of `columns` values over `seconds` from the start.

    The numbers are those of the columns drawn; which of them stand there depends on the width, of which 20 cells are the least.
    """

    tracks: Callable[[int], Sequence[Track]]
    seconds: float
    width: int = 80
    note: str = ""  # on the scales, for the last line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Only the note may take more than one line."""
        width = min(self.width, options.max_width)
        figures = [name for name, least in _FIGURES if width >= least]
        columns = max(8, width - _NAME - _FIGURE * len(figures))
        if self.seconds <= 0:
            yield _line("no samples: the run was shorter than one interval")
            return
        end = duration(self.seconds)
        axis = "0" + end.rjust(columns - 1) if len(end) < columns - 1 else " " * columns
        yield _line(" " * _NAME + axis + "".join(name.rjust(_FIGURE) for name in figures), style="bold")
        for track in self.tracks(columns):
            drawn = spark(track.values, top=track.top, ascii_only=options.ascii_only)
            numbers = _figures(track)
            yield _line(
                track.name.ljust(_NAME) + drawn.ljust(columns) + "".join(numbers[name].rjust(_FIGURE) for name in figures)
            )
        note = f"Column: {duration(self.seconds / columns)}." + (f" {self.note}" if self.note else "")
        yield Text(note, style="dim")


def spark(values: Sequence[float | None], *, top: float | None = None, ascii_only: bool = False) -> str:
    """One character per value, from 0 to `top` in eighths (None: the greatest of them); a gap where nothing is known."""
    blocks = _BLOCKS_ASCII if ascii_only else _BLOCKS
    most = max((value for value in values if value is not None), default=0.0) if top is None else top
    scale = len(blocks) / most if most > 0 else 0.0
    return "".join(" " if value is None else blocks[min(len(blocks) - 1, max(0, int(value * scale)))] for value in values)


def _figures(track: Track) -> dict[str, str]:
    """Of the columns drawn: what they begin and end with, the least and the greatest."""
    known = [value for value in track.values if value is not None]
    if not known:
        return dict.fromkeys((name for name, _ in _FIGURES), "-")
    write = _percent if track.is_share else compact
    return {"first": write(known[0]), "last": write(known[-1]), "min": write(min(known)), "max": write(max(known))}


def _percent(share: float) -> str:
    return f"{share:.0%}"


def compact(value: float) -> str:
    """Six characters at most below a billion: `3`, `2.4`, `1,234`, `12.3k`, `76.6M`."""
    if value < 9.95 and value != int(value):
        return f"{value:.1f}"
    if value < 9_999.5:
        return f"{value:,.0f}"
    return f"{value / 1e3:.1f}k" if value < 999_950 else f"{value / 1e6:.1f}M"


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="crop")
