"""What the controller did last, and why, in words."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import change, duration, share
from concur_batch.dashboard.layout import Section, label, value
from concur_batch.dashboard.limits import describe, policy_of
from concur_batch.dashboard.pools import short
from concur_batch.dashboard.reasons import words
from concur_batch.dashboard.scene import Scene
from concur_batch.records import Decided
from concur_batch.state import EngineView, Move

_CHANGE = 15  # cells of what changed; what is longer stands out
_NAME = 12  # of an engine, where there are several


def section(scene: Scene, rank: int) -> Section:
    """The newest changes of all engines' limits, newest first."""
    return Section(rank=rank, sizes=(1, 2, 3, 4, 6, 8), good=2, draw=lambda _, height: _draw(scene, height))


def _draw(scene: Scene, height: int) -> list[Text]:
    moves = [(engine, move) for engine in scene.state.engines.values() for move in engine.moves]
    moves.sort(key=lambda pair: -pair[1].after.t)
    if not moves:
        return [label("control").append("no decision yet", "dim")]
    several = len(scene.state.engines) > 1
    shown = moves[:height]
    texts = [_change(scene, engine, move) for engine, move in shown]
    cells = min(_CHANGE, max(len(text) for text, _ in texts))
    lines = []
    for i, ((engine, move), (text, style)) in enumerate(zip(shown, texts, strict=True)):
        line = label("" if i else "control").append_text(value(duration(scene.now - move.after.t), "dim"))
        if several:
            line.append(scene.fit(short(scene, engine)[-_NAME:], _NAME) + "  ", "dim")
        line.append(f"{text:<{cells}}  ", style).append(scene.clean(_why(engine, move)), "dim")
        lines.append(line)
    return lines


def _change(scene: Scene, engine: EngineView, move: Move) -> tuple[str, str]:
    """From what to what, and the colour: a limit that falls holds agents back."""
    policy, most = policy_of(engine), scene.state.max_agents
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


def _why(engine: EngineView, move: Move) -> str:
    """The reason in words, with the figures that it was taken on."""
    before, after = move.before, move.after
    if _is_first_on_tokens(before, after) and after.reason in ("hold", "grow"):
        return "as much as will fit"
    if before is None and after.reason == "hold":
        return "start"
    said = words(policy_of(engine), after.reason, _fell(before, after))
    figure = ""
    if after.reason in ("cut", "trim"):
        name, part = ("missed", move.miss) if after.tokens is not None else ("locked", move.locked)
        figure = "" if part is None else f" ({share(part)} {name})"
    return said + figure


def _is_first_on_tokens(before: Decided | None, after: Decided) -> bool:
    return before is not None and before.tokens is None and after.tokens is not None


def _fell(before: Decided | None, after: Decided) -> bool | None:
    """Whether the limit on tokens did; None: no such, or the first."""
    if before is None or before.tokens is None or after.tokens is None:
        return None
    return after.tokens < before.tokens
