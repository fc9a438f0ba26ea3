"""The report's summary for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from concur_batch.report.build import Run
from concur_batch.report.comparison import compared as compared_rows
from concur_batch.results.labelled import show as show_labelled
from concur_batch.results.sparklines import Sparklines, Track
from concur_batch.results.summary import duration, number, percent, render
from concur_batch.results.visible import one_line, visible

_SHARES = {"hit_rate": "hit rate", "miss_rate": "recomputed", "locked": "locked", "evictable": "evictable"}
_COUNTS = {
    "active": "active",
    "paused": "paused",
    "unstarted": "not started",
    "prefill_per_s": "prefill/s",
    "decode_per_s": "decode/s",
}
_MOST_TOOLS = 8
_LEAST_LABEL = 14  # of a row of the comparison


def show(console: Console, run: Run) -> None:
    """One run: its numbers, its curves, its tools."""
    state = " (simulated)" if run.simulated else ""
    console.print(Text.assemble((visible(run.path), "bold"), f"  {run.condition}{state}"), soft_wrap=True)
    if not run.report.state.has_begun:
        gone = run.condition == "lost"
        console.print("The journal is gone; concur results shows what is left." if gone else "Nothing has been recorded yet.")
        console.print()
        return
    show_labelled(console, render(run.report.summary(), Path(run.path), has_results=run.has_results))
    if run.report.timelines.engines:
        console.print()
        console.print(_curves(run, min(console.width, 120)))
    if run.report.tools.view():
        console.print()
        console.print(_tools(run, console.width))
    console.print()


def _curves(run: Run, width: int) -> Sparklines:
    engine = run.report.timelines.engines[0]
    several = len(run.report.timelines.engines) > 1

    def tracks(columns: int) -> list[Track]:
        series = run.report.timelines.series(engine, columns, exactly=True)
        found = [
            Track(name=name, values=series[measure], top=1.0, is_share=True)
            for measure, name in _SHARES.items()
            if measure in series
        ]
        return found + [Track(name=name, values=series[measure]) for measure, name in _COUNTS.items() if measure in series]

    seconds = max((float(t) for t in run.report.timelines.series(engine, 1)["t"] if t is not None), default=0.0)
    return Sparklines(tracks=tracks, seconds=seconds, width=width, note="All engines together." if several else "")


def _tools(run: Run, width: int) -> Table:
    rows = run.report.tools.view()
    cells = [_tool_cells(row) for row in rows[:_MOST_TOOLS]]
    names = [one_line(str(row["tool"])) for row in rows[:_MOST_TOOLS]]
    shown, left = list(cells[0]), []
    needed = {heading: max(len(heading), *(len(one[heading]) for one in cells)) + 2 for heading in shown}
    least = min(12, max(4, *map(len, names)))
    for heading in ("p50", "longest", "p95", "calls", "all"):  # the order in which they give way to the name
        if least + sum(needed[one] for one in shown) > width:
            shown.remove(heading)
            left.append(heading)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("tool", overflow="fold", max_width=32)
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in zip(names, cells, strict=True):
        table.add_row(Text(name), *(one[heading] for heading in shown))
    if len(rows) > _MOST_TOOLS:
        table.add_row(Text(f"and {len(rows) - _MOST_TOOLS} more", style="dim"))
    if left:
        table.caption = f"no room for {', '.join(left)}: the page has all"
        table.caption_justify = "left"
    return table


def _tool_cells(row: Mapping[str, object]) -> dict[str, str]:
    """By heading, from left to right."""
    times = {"p50": "p50_s", "p95": "p95_s", "longest": "max_s", "all": "total_s"}
    counts = {"calls": f"{row['calls']:,}", "errors": f"{row['errors']:,}"}
    return counts | {heading: _seconds(row[key]) for heading, key in times.items()}


def compared(runs: Sequence[Run], width: int = 100) -> Table:
    """A column per run, with the ratio to the first where that is not 1 and both have finished, or the row asks for no end."""
    rows = compared_rows([run.report.numbers() for run in runs])
    cells = [_compared_cells(row) for row in rows]
    needed = [max(len(line[place]) for line in cells) for place in range(len(runs))]
    label = max(len(row["name"]) for row in rows)
    spare = width - label - sum(needed) - 2 * len(runs)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", width=max(_LEAST_LABEL, label + min(0, spare)))
    for run, least in zip(runs, needed, strict=True):
        name = visible(run.name)
        own = min(max(least, cell_len(name)), least + max(0, spare) // len(runs))
        table.add_column(Text(name), justify="right", overflow="fold", width=own)
    for row, line in zip(rows, cells, strict=True):
        table.add_row(row["name"], *line)
    if any(row["so_far"] for row in rows):
        table.caption = "so far: the run has not finished, so it is not compared"
        table.caption_justify = "left"
    return table


def _compared_cells(row: Mapping[str, Any]) -> list[str]:
    ratios = ["" if place == 0 or ratio in (None, 1) else f" x{ratio:.2f}" for place, ratio in enumerate(row["ratios"])]
    notes = [" so far" if place in row["so_far"] else ratio for place, ratio in enumerate(ratios)]
    return [_cell(value, row["unit"]) + note for value, note in zip(row["values"], notes, strict=True)]


def _cell(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "%":
        return percent(value)
    return duration(value) if unit == "s" else number(value)


def _seconds(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.3g} s" if value < 60 else duration(value)
