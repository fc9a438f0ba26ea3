"""The agents longest in their present phase: those worth a look. Cheap at thousands of agents."""

from __future__ import annotations

import heapq

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import count, duration, fit_ends
from concur_batch.dashboard.layout import LABEL, Section, label
from concur_batch.dashboard.scene import Scene
from concur_batch.state import LiveRollout

_MOST = 12
_STYLES = {"model": colours.ACTIVE, "tool": colours.TOOL, "paused": colours.HELD}
_COLUMNS = (("phase", 8), ("for", 8), ("context", 9), ("step", 6))  # right of the name; the last ones go first
_NAME = 16  # least cells of it
_TOOL = 8  # cells for the tool, at the end


def section(scene: Scene, rank: int) -> Section:
    """A header and two rows at least; nothing where nobody is live."""
    live = len(scene.state.live)
    sizes = range(min(3, live + 1), 2 + min(_MOST, live)) if live else ()
    return Section(rank=rank, sizes=sizes, spare=True, draw=lambda width, height: _draw(scene, width, height))


def _draw(scene: Scene, width: int, height: int) -> list[Text]:
    shown = heapq.nsmallest(height - 1, scene.state.live.values(), key=_interest)
    columns = list(_COLUMNS)
    while columns and LABEL + _NAME + sum(cells for _, cells in columns) + _TOOL > width:
        columns.pop()
    name_cells = min(36, max(_NAME, width - LABEL - sum(cells for _, cells in columns) - _TOOL))
    header = label("agents").append(
        scene.fit("longest in their phase" if name_cells > 22 else "longest first", name_cells), "dim"
    )
    for name, cells in columns:
        header.append(f"  {name:<{cells - 2}}" if name == "phase" else name.rjust(cells), "dim")
    return [header, *(_row(scene, agent, name_cells, columns) for agent in shown)]


def _interest(agent: LiveRollout) -> tuple[bool, float]:
    """Longest in its phase first; paused ones last, they wait because they were told to."""
    return agent.paused, agent.since


def _row(scene: Scene, agent: LiveRollout, name_cells: int, columns: list[tuple[str, int]]) -> Text:
    values = {"step": count(agent.step), "for": duration(scene.now - agent.since), "context": count(agent.context_tokens)}
    line = label("").append(fit_ends(scene.clean(agent.rollout), name_cells, ascii_only=scene.ascii_only))
    for name, cells in columns:
        if name == "phase":
            line.append(f"  {agent.phase:<{cells - 2}}", _STYLES[agent.phase])
        else:
            line.append(values[name].rjust(cells))
    tools = list(dict.fromkeys(tool.name for tool in agent.tools.values()))
    more = f" +{len(agent.tools) - 1}" if len(agent.tools) > 1 else ""
    return line.append("  " + scene.clean(tools[0]) + more) if tools else line
