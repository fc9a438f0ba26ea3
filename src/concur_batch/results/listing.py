"""Rollouts as a table for people, one line each; 80 columns are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from concur_batch.results.rows import ResultRow
from concur_batch.results.summary import duration
from concur_batch.results.visible import one_line
from concur_batch.task import rollout_id

_HEADINGS = ("rollout", "status", "steps", "tokens", "time", "output")
_RIGHT = (False, False, True, True, True, False)
_STYLES = {"completed": "green", "error": "red", "cancelled": "yellow"}
_GAP = 2


@dataclass(frozen=True, slots=True)
class Line:
    """What the table tells of one rollout."""

    cells: tuple[str, ...]
    status: str


def line(row: ResultRow) -> Line:
    """The row in short: where it failed, class and message stand in place of the output."""
    error = row.error
    last = one_line((row.output or "") if error is None else f"{error.error_class}: {error.message}")
    tokens = "?" if row.context_tokens is None else f"{row.context_tokens:,}"
    name = one_line(rollout_id(row.id, row.rollout))
    return Line((name, row.status, f"{row.n_steps:,}", tokens, duration(row.times.wall_s), last), row.status)


def render_lines(lines: Sequence[Line], width: int) -> Iterator[Text]:
    """Heading and lines, none wider than `width`; what is too long ends in `…`."""
    widths = [max(cell_len(one.cells[i]) for one in lines) for i in range(5)]
    widths = [max(cell_len(_HEADINGS[i]), own) for i, own in enumerate(widths)]
    rest = sum(widths[1:]) + 5 * _GAP
    widths[0] = min(widths[0], max(12, (width - rest) // 2))
    widths.append(max(0, width - rest - widths[0]))
    yield _joined(_HEADINGS, widths, ["bold"] * 6)
    for one in lines:
        style = _STYLES.get(one.status, "yellow")
        yield _joined(one.cells, widths, ["bold", style, "", "", "", "red" if one.status == "error" else ""])


def _joined(cells: Sequence[str], widths: Sequence[int], styles: Sequence[str]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for i, (cell, width, style) in enumerate(zip(cells, widths, styles, strict=True)):
        cell = _shortened(cell, width) if i == 0 else cell  # noqa: PLW2901 - the same, to be seen whole
        text.append(_fitted(cell, width, right=_RIGHT[i]) + " " * (_GAP if i < 5 else 0), style=style)
    text.rstrip()
    return text


def _shortened(name: str, width: int) -> str:
    """A name that is too long without its middle, as its end tells rollouts apart."""
    if cell_len(name) <= width:
        return name
    tail = name[-(width // 3) :]
    return set_cell_size(name, width - 1 - cell_len(tail)) + "…" + tail


def _fitted(cell: str, width: int, *, right: bool) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…" if width else ""
    return " " * (width - cell_len(cell)) + cell if right else set_cell_size(cell, width)
