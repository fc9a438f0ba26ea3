"""How many agents are active, paused and waiting: over the whole run, on one axis. And how those ended that have."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.charts import tall
from concur_batch.dashboard.figures import count, duration
from concur_batch.dashboard.layout import LABEL, VALUE, Section, flow, label, one_line, pair, value
from concur_batch.dashboard.scene import Scene
from concur_batch.state import Timeline

_LEAST = 8  # cells of a chart
_TOP = 18  # cells right of a chart, for its greatest value: as in `speed`, so that charts are equally long
_ROOMY = 60  # cells from which on there is one


def section(scene: Scene, rank: int) -> Section:
    """One line of numbers; or lines for each with a chart, the more the higher."""
    return Section(rank=rank, sizes=(1, *range(4, 16)), good=4, draw=lambda width, height: _draw(scene, width, height))


def paused(scene: Scene) -> int:
    """Agents without a slot: paused at a boundary, or in a tool call for which they gave it up."""
    return len(scene.state.live) - scene.state.active


def _draw(scene: Scene, width: int, height: int) -> list[Text]:
    if height < 4 or width < LABEL + VALUE + _LEAST:
        return flow(label("agents"), [*_standing(scene), *_ended(scene)], width, height)
    room = width - LABEL - VALUE
    room -= _TOP if room >= _ROOMY else 0
    timeline = scene.state.timeline
    step, columns = _columns(timeline, room)
    levels = [tuple(values[i] for values in columns) for i in range(3)]
    rows = max(2, height - 3)
    most = [max((*values, now), default=0.0) for values, now in zip(levels, (scene.state.active, paused(scene)), strict=False)]
    below = min(
        rows - 1, max(1, round(rows * most[1] / max(1.0, sum(most))))
    )  # active and paused on one scale, each as high as it takes
    rows -= below
    each = max(most[0] / rows, most[1] / below)
    lines: list[Text] = []
    measures = (
        ("active", scene.state.active, colours.ACTIVE, each * rows, rows),
        ("paused", paused(scene), colours.HELD, each * below, below),
        ("waiting", scene.state.unstarted, "dim", max(levels[2], default=0.0), 1),
    )
    for i, (name, now, style, top, tallness) in enumerate(measures):
        lines += _chart(scene, name, now, levels[i], room, tallness, top, style)
    if height >= 5:
        lines.append(_axis(scene, step, len(columns), room))
    completed, *others = _ended(scene)
    lines.append(
        one_line(
            label("ended"),
            [Text(" " * (VALUE - 1 - len(count(scene.state.statuses["completed"])))).append_text(completed), *others],
            width,
        )
    )
    return lines


def _columns(timeline: Timeline, room: int) -> tuple[float, list[tuple[float, float, float]]]:
    """Seconds that a column stands for, and its means. A column's bounds stay where they are until there is no more room."""
    points = timeline.points
    each = max(1, -(-len(points) // max(1, room)))
    columns = []
    for start in range(0, len(points), each):
        part = points[start : start + each]
        columns.append(
            (sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part), sum(p[2] for p in part) / len(part))
        )
    return each * timeline.step_s, columns


def _chart(
    scene: Scene, name: str, now: int, values: Sequence[float], room: int, rows: int, top: float, style: str
) -> list[Text]:
    drawn = tall(values, len(values), rows, top=top, ascii_only=scene.ascii_only)
    lines = []
    for i, blocks in enumerate(drawn):
        lowest = i == rows - 1
        line = label(name if lowest else "")
        line.append_text(value(count(now) if lowest else ""))
        line.append(blocks.ljust(room) if values else " " * room, style)
        if lowest and room >= _ROOMY - _TOP and values:
            line.append(f"  max {count(max(*values, now))}", "dim")
        lines.append(line)
    return lines


def _axis(scene: Scene, step: float, columns: int, room: int) -> Text:
    """From the run's start to now."""
    line = Text(" " * (LABEL + VALUE), style="dim")
    end = duration(scene.elapsed)
    if columns < len(end) + 2:
        return line.append(f"start, {duration(step)} a column" if room >= 30 else "")
    mark = scene.sign("└", "|") + scene.sign("─", "-") * (columns - len(end) - 2) + f" {end}"
    note = f"  {duration(step)} a column"
    return line.append(mark + note if columns + len(note) <= room else mark)


def _standing(scene: Scene) -> list[Text]:
    return [
        pair("active", f"{count(scene.state.active)}", "bold green"),
        pair("paused", f"{count(paused(scene))}", "bold yellow"),
        pair("waiting", f"{count(scene.state.unstarted)}"),
    ]


def _ended(scene: Scene) -> list[Text]:
    """How many came to a result, and which; how many failed."""
    state = scene.state
    failed, cancelled, completed = state.failed, state.statuses["cancelled"], state.statuses["completed"]
    limited = max(0, len(state.ended) - failed - cancelled - completed)
    parts = [
        pair("completed", count(completed)),
        pair("failed", count(failed), "bold red" if failed > 0 else "bold"),
        pair("at a limit", count(limited)),
    ]
    return [*parts, pair("cancelled", count(cancelled))] if cancelled > 0 else parts
