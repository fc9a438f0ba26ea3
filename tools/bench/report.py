"""One table for people and one JSON line for programs, on standard output."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any


def show(bench: str, heading: Sequence[str], rows: Sequence[Sequence[object]], figures: dict[str, Any]) -> None:
    """Print the table, then `figures` as the last line."""
    print(table(heading, rows))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"bench": bench, **figures, **machine}), flush=True)


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Its columns side by side, a rule under the heading."""
    cells = [[str(cell) for cell in row] for row in (heading, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (cells[0], rule, *cells[1:])
    )
