"""The tools that take the most of the agents' time: calls, mean, longest, running now, failed."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import count, seconds
from concur_batch.dashboard.layout import LABEL, Section, label
from concur_batch.dashboard.scene import Scene
from concur_batch.state import ToolTotals

_MOST = 8
_COLUMNS = (
    ("calls", 7),
    ("mean", 8),
    ("max", 8),
    ("now", 5),
    ("failed", 8),
)  # from the left; those that find no room are left out
_NAME = 10  # least cells of a name


def section(scene: Scene, rank: int) -> Section:
    """A header and a row at least; one line where no tool was called."""
    running = Counter(name for live in scene.state.live.values() for name in live.tools.values())
    tools = dict(scene.state.tools)
    for name in running:
        tools.setdefault(name, ToolTotals(name=name))
    if not tools:
        return Section(rank=rank, sizes=(1,), draw=lambda _, __: [label("tools").append("none called yet", "dim")])
    rows = sorted(tools.values(), key=lambda tool: (-tool.seconds, tool.name))
    sizes = range(2, 2 + min(_MOST, len(rows)))
    return Section(rank=rank, sizes=sizes, good=2, draw=lambda width, height: _draw(scene, rows, running, width, height))


def _draw(scene: Scene, tools: list[ToolTotals], running: Counter[str], width: int, height: int) -> list[Text]:
    columns = list(_COLUMNS)
    while columns and LABEL + _NAME + sum(cells for _, cells in columns) > width:
        columns.pop()
    name_cells = min(28, max(_NAME, width - LABEL - sum(cells for _, cells in columns)))
    header = label("tools").append(scene.fit("by time taken" if name_cells >= 14 else "", name_cells), "dim")
    for name, cells in columns:
        header.append(name.rjust(cells), "dim")
    lines = [header]
    for tool in tools[: height - 1]:
        line = label("").append_text(scene.foreign(tool.name, name_cells))
        now = running[tool.name]
        values = {
            "calls": (count(tool.calls), "bold"),
            "mean": (seconds(tool.seconds / tool.calls) if tool.calls > 0 else "-", "bold"),
            "max": (seconds(tool.longest_s), ""),
            "now": (count(now), colours.TOOL if now else "dim"),
            "failed": (count(tool.errors), colours.LOST if tool.errors > 0 else "dim"),
        }
        for name, cells in columns:
            value, style = values[name]
            line.append(value.rjust(cells), style)
        lines.append(line)
    return lines
