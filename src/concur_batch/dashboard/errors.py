"""Errors grouped by class: a few lines of the main picture, or all of the screen."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import count, duration
from concur_batch.dashboard.layout import Section, label, one_line, pair, prose, value, within
from concur_batch.dashboard.scene import Scene
from concur_batch.errors import unnamed
from concur_batch.state import Group, RunState

_MOST = 6
_KINDS = {"rollout": "rollout", "call": "call", "attempt": "attempt", "tool": "tool call"}
_ABOUT = {
    "rollout": "rollouts that ended with an error",
    "call": "model calls that raised an error into their agent",
    "attempt": "attempts of model calls that failed and were made again",
    "tool": "tool calls that failed; the model was told",
}
_STYLES = {"rollout": colours.LOST, "call": colours.LOST, "attempt": colours.HELD, "tool": colours.PLAIN}


def groups(state: RunState) -> list[Group]:
    """Rollouts that failed before calls that did before attempts before tools; in each the newest first."""
    order = list(_KINDS)
    present = [group for group in state.faults.groups.values() if counted(state, group) > 0]
    return sorted(present, key=lambda group: (order.index(group.kind), -group.at))


def counted(state: RunState, group: Group) -> int:
    """How many: rollouts that were tried again since do not count."""
    return (
        min(group.count, state.error_classes[group.name])
        if group.kind == "rollout" and group.name in state.error_classes
        else group.count
    )


def section(scene: Scene, rank: int) -> Section:
    """A line for each group."""
    found = groups(scene.state)
    sizes = range(1, 1 + max(1, min(_MOST, len(found))))
    return Section(rank=rank, sizes=sizes, good=min(2, len(found)), draw=lambda width, height: _draw(scene, found, width, height))


def _draw(scene: Scene, found: list[Group], width: int, height: int) -> list[Text]:
    if not found:
        return [label("errors").append("none", "dim")]
    lines = []
    for i, group in enumerate(found[:height]):
        line = label("" if i else "errors")
        line.append_text(value(count(counted(scene.state, group)), f"bold {_STYLES[group.kind]}"))
        line.append(f"{_KINDS[group.kind] + 's' * (counted(scene.state, group) != 1):<10}  ", "dim")
        name = scene.clean(group.name)
        line.append(f"{name}: ", _STYLES[group.kind]).append(
            scene.clean(_reason(scene.state, group.newest.message)), _STYLES[group.kind]
        )
        ago = duration(scene.elapsed - group.at) + " ago"
        room = width - len(ago) - 2
        tells_when = room > 50
        within(line, room if tells_when else width, ascii_only=scene.ascii_only)
        if tells_when:
            line.append(" " * (room - line.cell_len) + "  ").append(ago, "dim")
        lines.append(line)
    return lines


def _reason(state: RunState, message: str) -> str:
    """Without the engine's address, which would take the room of what is wrong there; the screen of their own has it."""
    for engine in state.all_engines:
        message = unnamed(message, engine)
    return message


def screen(scene: Scene, width: int, height: int) -> list[Text]:
    """All groups with their newest messages, at most `height` lines."""
    found = groups(scene.state)
    lines = [one_line(label("errors"), _counts(scene.state), width)]
    if not found:
        return [*lines, Text(), Text("None so far.", style="dim")][:height]
    kind, headings = "", {0}
    for group in found:
        if group.kind != kind:
            kind = group.kind
            headings |= {len(lines), len(lines) + 1}
            lines += [Text(), Text(_ABOUT[group.kind], style="dim")]
        lines += _group(scene, group, width)
    if len(lines) > height:
        room = height - 1
        while room > 1 and room - 1 in headings:  # with nothing below it
            room -= 1
        lines = [*lines[: max(1, room)], Text("more on a larger terminal, and in concur report", style="dim")]
    return lines[:height]


def _counts(state: RunState) -> list[Text]:
    failed, calls, retries = state.failed, state.totals.tool_errors, state.totals.retries
    return [
        pair("rollout failed" if failed == 1 else "rollouts failed", count(failed), "bold red" if failed > 0 else "bold"),
        pair("tool call failed" if calls == 1 else "tool calls failed", count(calls), "bold"),
        pair("retry" if retries == 1 else "retries", count(retries), "bold"),
    ]


def _group(scene: Scene, group: Group, width: int) -> list[Text]:
    present = counted(scene.state, group)
    again = f"  {count(group.count - present)} tried again since" if group.count > present else ""
    head = Text.assemble((f"{count(present):>7}  ", "bold"), (scene.clean(group.name), f"bold {_STYLES[group.kind]}"))
    lines = [head.append(f"  newest {duration(scene.elapsed - group.at)} ago{again}", "dim")]
    for example in reversed(group.examples.values()):
        times = f"{count(example.count)}{scene.times}" if example.count > 1 else ""
        start = Text.assemble((f"{times:>7}  ", "dim"))
        where = f"{scene.clean(example.rollout)}, {duration(scene.elapsed - example.at)} ago: "
        lines += prose(start.append(where, "dim"), scene.clean(example.message), "", width, 2, ascii_only=scene.ascii_only)
    return lines
