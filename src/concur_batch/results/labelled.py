"""Lines that begin with a label: folded under it on a terminal, whole in a file or a pipe, where programs and people search for them."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 100_000  # cells, wider than any line


def labelled(lines: Iterable[tuple[str, Text]]) -> Table:
    """The lines, each with its label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(label, text)
    return grid


def show(console: Console, grid: Table) -> None:
    """Print it, folded where it goes to a terminal."""
    if console.file.isatty():
        console.print(grid)
        return
    whole = io.StringIO()
    Console(file=whole, width=_WIDE, force_terminal=console.is_terminal, no_color=console.no_color).print(grid)
    for line in whole.getvalue().splitlines():
        console.out(line.rstrip(), highlight=False)
