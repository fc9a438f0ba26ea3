"""What the controller did last, and why, in words."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import change, duration
from concur_batch.dashboard.layout import Section, label, value, within
from concur_batch.dashboard.limits import describe
from concur_batch.dashboard.names import named
from concur_batch.dashboard.reasons import words
from concur_batch.dashboard.scene import Scene
from concur_batch.state import EngineView, Move

_CHANGE = 15  # cells of what changed; what is longer stands out
_NAME = 12  # of an engine, where there are several


def section(scene: Scene, rank: int) -> Section:
    """The newest changes of all engines' limits, newest first."""
    return Section(rank=rank, sizes=(1, 2, 3, 4, 6, 8), good=2, draw=lambda width, height: _draw(scene, width, height))


def _draw(scene: Scene, width: int, height: int) -> list[Text]:
    moves = [(engine, move) for engine in scene.state.engines.values() for move in engine.moves]
    moves.sort(key=lambda pair: -pair[1].after.t)
    if not moves:
        return [label("control").append("no decision yet", "dim")]
    several = named(scene, _NAME) if len(scene.state.engines) > 1 else {}
    names = {engine: name.rstrip() for engine, name in several.items()}
    name_cells = max(map(cell_len, names.values()), default=0)
    shown = moves[:height]
    texts = [_change(scene, engine, move) for engine, move in shown]
    cells = min(_CHANGE, max(len(text) for text, _ in texts))
    lines = []
    for i, ((engine, move), (text, style)) in enumerate(zip(shown, texts, strict=True)):
        line = label("" if i else "control").append_text(value(duration(scene.now - move.after.t), "dim"))
        if names:
            line.append(scene.fit(names[engine.name], name_cells) + "  ", "dim")
        line.append(f"{text:<{cells}}  ", style).append(scene.clean(words(engine.policy, move)), "dim")
        lines.append(within(line, width, ascii_only=scene.ascii_only))
    return lines


def _change(scene: Scene, engine: EngineView, move: Move) -> tuple[str, str]:
    """From what to what, and the colour: a limit that falls holds agents back."""
    policy, most = engine.policy, scene.state.max_agents
    before, after = move.before, move.after
    if before is None:
        return describe(after, most, policy), "bold"
    arrow = scene.sign("→", "->")
    for name, unit in (("tokens", "tokens"), ("requests", "calls"), ("agents", "agents")):
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None and old != new and unit in describe(after, most, policy):
            first, second = change(old, new)
            return f"{first} {arrow} {second}", f"bold {colours.HELD}" if new < old else "bold"
    return f"{describe(before, most, policy)} {arrow} {describe(after, most, policy)}", "bold"
