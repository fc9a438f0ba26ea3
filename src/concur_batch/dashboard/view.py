"""The dashboard as a picture of the state: pure, cheap, and never wider or higher than it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from rich.console import Group
from rich.text import Text

from concur_batch.dashboard import agents, crowd, decisions, errors, head, pools, speed, spent, tools
from concur_batch.dashboard.layout import beside, stack
from concur_batch.dashboard.scene import Scene
from concur_batch.state import RunState

View: TypeAlias = Literal["main", "errors"]

TWO_COLUMNS = 116  # from this width on the sections stand in two columns
_GAP = 4  # cells between them


def render(
    state: RunState,
    now: float,
    width: int,
    height: int,
    *,
    view: View = "main",
    keys: bool = False,
    steering: bool = True,
    title: str = "",
    ascii_only: bool = False,
    last: bool = False,
) -> Group:
    """At most `height` lines of at most `width` cells. `now`: seconds on the clock of the present segment.

    Changes nothing. Where there is no room the least important parts go.

    Args:
        state: the run.
        now: see above.
        width: of the terminal.
        height: of the terminal, or less.
        view: `main`, the run; `errors`, all of the screen for its errors, grouped by class with their newest messages.
        keys: name the keys in the lowest line (`p hold  +/- limit  e errors  q drain`): they are listened to.
        steering: they are a run's own; False: `e errors  q leave`, of one who only looks on.
        title: shown at the top, as the run's name.
        ascii_only: nothing else can be shown.
        last: the picture that stays when the run is over: without live agents, keys and what fills the screen.
    """
    scene = Scene(state=state, now=now, title=title, ascii_only=ascii_only, keys=keys and not last, steering=steering, last=last)
    foot = [head.keys(scene, width, errors=view == "errors")] if scene.keys and height >= 6 else []
    room = height - len(foot)
    lines = _errors(scene, width, room) if view == "errors" else _main(scene, width, room)
    if not last:
        lines += [Text()] * (room - len(lines))
    lines = [*lines[: max(0, room)], *foot]
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
        line.truncate(max(0, width), overflow="crop")
    return Group(*lines[: max(0, height)])


def _errors(scene: Scene, width: int, height: int) -> list[Text]:
    return [head.title(scene, width), *errors.screen(scene, width, height - 1)]


def _main(scene: Scene, width: int, height: int) -> list[Text]:
    lines = [head.title(scene, width), head.progress(scene, width), *head.alerts(scene, width)]
    if height >= 26:
        lines.append(Text())
    half = (width - _GAP) // 2
    column = width if width < TWO_COLUMNS else half
    left = [crowd.section(scene, 2), spent.section(scene, 4, column), tools.section(scene, 7)]
    right = [pools.section(scene, 1), speed.section(scene, 3)]
    control, faults = decisions.section(scene, 6), errors.section(scene, 5)
    live = [] if scene.last or scene.state.finished is not None else [agents.section(scene, 9)]
    room = height - len(lines)
    if width < TWO_COLUMNS:
        return lines + stack([left[0], *right, control, left[1], left[2], faults, *live], width, room)
    columns: Sequence[list[Text]] = (
        stack([*left, faults, *live], half, room),
        stack([*right, control], width - half - _GAP, room),
    )
    return lines + beside(columns[0], columns[1], half, _GAP, ascii_only=scene.ascii_only)
