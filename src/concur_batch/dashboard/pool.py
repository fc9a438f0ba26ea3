"""One engine's KV pool: what is in it, as a bar with the limit marked in it and in words."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.charts import cells
from concur_batch.dashboard.figures import share
from concur_batch.dashboard.limits import Bound, bound
from concur_batch.dashboard.scene import Scene
from concur_batch.state import EngineView


def tells(engine: EngineView) -> bool:
    """Whether the engine tells what is in it."""
    return engine.sample is not None and (engine.sample.locked is not None or engine.sample.resident is not None)


def _parts(engine: EngineView) -> tuple[float | None, float | None, float | None]:
    """Locked, evictable, free; None where it cannot be said."""
    sample = engine.sample
    if sample is None:
        return None, None, None
    locked, resident = sample.locked, sample.resident
    if resident is None:
        return locked, None, None
    resident = max(resident, locked or 0.0)  # told less often; journals of before say what was told
    return locked, resident - (locked or 0.0), max(0.0, 1.0 - resident)


def named_shares(scene: Scene, engine: EngineView) -> list[Text]:
    """What the bar's parts are."""
    locked, evictable, free = _parts(engine)
    marks = scene.sign("█", "#"), scene.sign("▒", "="), scene.sign("░", ".")
    styles = colours.CACHE, colours.CACHE, "dim"
    named = zip(("locked", "evictable", "free"), (locked, evictable, free), marks, styles, strict=True)
    return [
        Text.assemble((mark, style), (f" {name} ", "dim"), (f"{share(part):>4}", "bold")) for name, part, mark, style in named
    ]


def bar(scene: Scene, engine: EngineView, width: int) -> Text:
    """The pool in so many cells, with the limit in it; one beyond it stands at its end."""
    locked, evictable, _ = _parts(engine)
    filled = cells((locked, evictable), width)
    line = Text.assemble(
        (scene.sign("█", "#") * filled[0], colours.CACHE),
        (scene.sign("▒", "=") * filled[1], colours.CACHE),
        (scene.sign("░", ".") * (width - sum(filled)), "dim"),
    )
    found, capacity = bound(engine, scene.state), engine.capacity_tokens
    place = found.tokens
    if place is None or not capacity or capacity <= 0:
        return line
    at = min(width - 1, max(0, round(min(place / capacity, 1.0) * width)))
    return Text.assemble(line[:at], (mark(scene, engine, found), "bold"), line[at + 1 :])


def mark(scene: Scene, engine: EngineView, found: Bound) -> str:
    """The sign in the bar: where the limit is, or that it is beyond."""
    beyond = (found.tokens or 0.0) > (engine.capacity_tokens or 0)
    return scene.sign("»", ">") if beyond else scene.sign("┃", "|")
