"""Rollouts as a table for people, one line each; 80 columns are enough."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
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
_LEAST_FIRST = (3, 2, 4, 5)  # the columns in the order in which they give way on a narrow screen
_LEAST_NAME, _LEAST_OUTPUT = 12, 8


@dataclass(frozen=True, slots=True)
class Line:
    """What the table tells of one rollout."""

    cells: tuple[str, ...]
    status: str


def line(row: ResultRow) -> Line:
    """The row in short: where it failed, class and message stand in place of the output."""
    error, rollout = row.error, rollout_id(row.id, row.rollout)
    failed = "" if error is None else f"{error.error_class}: {error.message.removeprefix(f'{rollout}: ')}"
    last = one_line(failed or row.output or "")
    tokens = "?" if row.context_tokens is None else f"{row.context_tokens:,}"
    name = one_line(rollout)
    return Line((name, row.status, f"{row.n_steps:,}", tokens, duration(row.times.wall_s), last), row.status)


def render_lines(lines: Sequence[Line], width: int, without: Collection[int] = ()) -> Iterator[Text]:
    """Heading and lines, none wider than `width`; what is too long ends in `…`. `without`: columns that are left out."""
    widths = _widths(lines)
    for i in without:
        widths[i] = 0
    rest = sum(widths[1:5]) + _GAP * (5 - len(without))
    widths[0] = max(1, min(widths[0], max(_LEAST_NAME, (width - rest) // 2 if 5 not in without else 0), width))
    widths[5] = 0 if 5 in without else max(0, width - rest - widths[0])
    shown = [i for i in range(6) if i not in without]
    yield _joined(_HEADINGS, widths, ["bold"] * 6, shown)
    for one in lines:
        style = _STYLES.get(one.status, "yellow")
        yield _joined(one.cells, widths, ["bold", style, "", "", "", "red" if one.status == "error" else ""], shown)


def left_out(lines: Sequence[Line], width: int) -> list[int]:
    """The columns that have no room beside the others; the first ones to go are the least important."""
    widths = _widths(lines)
    least = [min(widths[0], _LEAST_NAME), *widths[1:5], _LEAST_OUTPUT]
    without: list[int] = []
    for i in _LEAST_FIRST:
        kept = [one for place, one in enumerate(least) if place not in without]
        if sum(kept) + _GAP * (len(kept) - 1) <= width:
            break
        without.append(i)
    return without


def headings(columns: Iterable[int]) -> str:
    """Their names, from left to right."""
    return ", ".join(_HEADINGS[i] for i in sorted(columns))


def _widths(lines: Sequence[Line]) -> list[int]:
    """What each column needs; of the output 0, as it takes what is left."""
    own = [max(cell_len(one.cells[i]) for one in lines) for i in range(5)]
    return [*(max(cell_len(_HEADINGS[i]), one) for i, one in enumerate(own)), 0]


def _joined(cells: Sequence[str], widths: Sequence[int], styles: Sequence[str], shown: Sequence[int]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for i in shown:
        cell = _shortened(cells[i], widths[i]) if i == 0 else cells[i]
        text.append(_fitted(cell, widths[i], right=_RIGHT[i]) + " " * (_GAP if i != shown[-1] else 0), style=styles[i])
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
