"""The tools that take the most of the agents' time, calls under way among it: calls, mean, longest, running now, failed."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import count, seconds
from concur_batch.dashboard.layout import LABEL, Section, label
from concur_batch.dashboard.scene import Scene
from concur_batch.dashboard.under_way import ToolUnderWay
from concur_batch.dashboard.under_way import tools as under_way
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
_NONE = ToolUnderWay()


def section(scene: Scene, rank: int) -> Section:
    """A header and a row at least; one line where no tool was called."""
    running = under_way(scene.state, scene.now)
    tools = dict(scene.state.tools)
    for name in running:
        tools.setdefault(name, ToolTotals(name=name))
    if not tools:
        return Section(rank=rank, sizes=(1,), draw=lambda _, __: [label("tools").append("none called yet", "dim")])
    taken = {name: tool.seconds + running.get(name, _NONE).seconds for name, tool in tools.items()}
    rows = sorted(tools.values(), key=lambda tool: (-taken[tool.name], tool.name))
    sizes = range(2, 2 + min(_MOST, len(rows)))
    return Section(rank=rank, sizes=sizes, good=2, draw=lambda width, height: _draw(scene, rows, running, width, height))


def _draw(scene: Scene, tools: list[ToolTotals], running: dict[str, ToolUnderWay], width: int, height: int) -> list[Text]:
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
        now = running.get(tool.name, _NONE)
        values = {
            "calls": (count(tool.calls), "bold"),
            "mean": (seconds(tool.seconds / tool.calls) if tool.calls > 0 else "-", "bold"),
            "max": (seconds(max(tool.longest_s, now.longest_s)) if tool.calls > 0 or now.calls else "-", ""),
            "now": (count(now.calls), colours.TOOL if now.calls else "dim"),
            "failed": (count(tool.errors), colours.LOST if tool.errors > 0 else "dim"),
        }
        for name, cells in columns:
            value, style = values[name]
            line.append(value.rjust(cells), style)
        lines.append(line)
    return lines
