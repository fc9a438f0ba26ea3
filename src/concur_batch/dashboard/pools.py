"""Each engine's KV pool as a bar with the controller's limit marked in it; and what that limit is. In full, or on one line each."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.figures import count, share
from concur_batch.dashboard.layout import LABEL, VALUE, Section, flow, label, one_line, pair, prose, value
from concur_batch.dashboard.limits import bound, describe, holding, in_force
from concur_batch.dashboard.names import named
from concur_batch.dashboard.pace import recent
from concur_batch.dashboard.pool import bar, mark, named_shares, tells
from concur_batch.dashboard.scene import Scene
from concur_batch.state.engine import EngineView, hit

_MOST_BAR = 100
_LEAST_BAR = 6
_HIT = 10  # cells of the hit rate, with the gap before it
_LIMIT, _NARROW_LIMIT = 16, 12
_LEAST_NAME = 6
_NAMES = 100  # cells from which on names of engines have more room than a label and a value
_WHOLE = 5  # lines of an engine of which all is told
_NOTES = 2  # lines of what the user should know of an engine


def section(scene: Scene, rank: int) -> Section:
    """All engines, lost ones first."""
    engines = sorted(scene.state.engines.values(), key=lambda engine: engine.lost is None)
    many = len(engines)
    if not many:
        return Section(rank=rank, sizes=(1,), draw=lambda _, __: [label("KV pool").append("no engine yet", "dim")])
    notes = max((_NOTES for engine in engines if engine.seen is not None and engine.seen.note), default=0)
    full = [many * lines for lines in (2, 3, 4, 5)]
    sizes = [*full, full[-1] + notes] if many == 1 else [*sorted({min(many, 2), min(many, 4), min(many, 8), many}), *full[1:]]
    return Section(
        rank=rank,
        sizes=sizes,
        good=4 if many == 1 else min(many, 4),
        draw=lambda width, height: _draw(scene, engines, width, height),
    )


def _draw(scene: Scene, engines: list[EngineView], width: int, height: int) -> list[Text]:
    each = height // len(engines)
    if each < (2 if len(engines) == 1 else 3):
        shown = engines if len(engines) <= height else engines[: height - 1]
        lines = [_short(scene, engine, width) for engine in shown]
        if len(engines) > len(shown):
            lines.append(label("").append(f"and {len(engines) - len(shown)} more engines", "dim"))
        return lines
    return [line for engine in engines for line in _whole(scene, engine, width, height if len(engines) == 1 else each)]


def _whole(scene: Scene, engine: EngineView, width: int, height: int) -> list[Text]:
    pool, limit = [_pool(scene, engine, width)], _limit(scene, engine, width, 1 if height < _WHOLE else 2)
    if height < 3:
        return pool + limit
    shares = [one_line(label(""), named_shares(scene, engine), width)] if tells(engine) else []
    if height < 4:
        return pool + shares + limit if len(scene.state.engines) == 1 else [_about(scene, engine, width), *pool, *limit]
    note: list[Text] = []
    left = height - 2 - len(shares) - len(limit)
    if engine.seen is not None and engine.seen.note and left > 0:
        note = prose(label("note"), scene.clean(engine.seen.note), colours.HELD, width, left, ascii_only=scene.ascii_only)
    return [_about(scene, engine, width), *pool, *shares, *limit, *note]


def _about(scene: Scene, engine: EngineView, width: int) -> Text:
    """Its address, the policy, the model, the server."""
    parts = [Text(scene.clean(engine.name), style="bold")]
    if engine.seen is not None:
        kind = f"{engine.seen.engine_kind} {engine.seen.version or ''}".strip()
        words = [engine.seen.policy, engine.seen.model, kind if kind != engine.name else ""]
        parts += [Text(scene.clean(word)) for word in words if word]
    return one_line(label("engine"), parts, width)


def _pool(scene: Scene, engine: EngineView, width: int) -> Text:
    line = label("KV pool").append_text(value(count(engine.capacity_tokens)))
    if not tells(engine):
        return line.append(_untold(engine), "dim")
    return line.append_text(bar(scene, engine, min(_MOST_BAR, max(4, width - line.cell_len))))


def _untold(engine: EngineView) -> str:
    """Why nothing is said of what is in it: not yet, not now, or never."""
    if engine.sample is None:
        return "no reading yet"
    return "no fresh reading" if engine.sample.stale else "what is in it is not told by the engine"


def _limit(scene: Scene, engine: EngineView, width: int, most: int) -> list[Text]:
    """What the limit is, what of it is used, and whether it holds anybody back."""
    found = bound(engine, scene.state)
    number, _, unit = found.words.partition(" ")
    parts = [Text(unit)]
    if found.tokens is not None and engine.capacity_tokens and tells(engine):
        parts[0].append(f" {mark(scene, engine, found)}", "bold")
    if engine.sample is not None and engine.sample.stale:
        parts.append(Text("no fresh reading", style=colours.HELD))
    if found.used is not None:
        of = f"({share(found.used / found.size)})" if found.size else ""
        parts.append(pair(found.unit, count(found.used), "", of))
    held = holding(engine, scene.state, found)
    if held:
        parts.append(Text(held, style="dim"))
    start = label("limit").append_text(value(number))
    return flow(start, parts, width, most) if most > 1 else [one_line(start, parts, width)]


def _short(scene: Scene, engine: EngineView, width: int) -> Text:
    """Name, pool, limit, share of the prompt from the cache in the last seconds."""
    decision, sample = engine.decision, engine.sample
    words = "-" if decision is None else describe(in_force(decision, scene.state), scene.state.max_agents, engine.policy)
    cells, limit = LABEL + VALUE - 1 + max(0, width - _NAMES) // 4, _LIMIT
    if width - cells - _HIT - limit - 4 < _LEAST_BAR:  # the bar and the limit before the name
        limit = max(_NARROW_LIMIT, len(words))
        cells = max(_LEAST_NAME, min(cells, width - _HIT - limit - 4 - _LEAST_BAR))
    line = Text(named(scene, cells)[engine.name], style="bold").append(" ")
    if engine.lost is not None:
        return line.append("LOST", "bold red")
    room = min(60, width - line.cell_len - _HIT - limit - 3)
    if sample is not None and sample.locked is not None and room >= _LEAST_BAR:
        line.append_text(Text("", style="not bold").append_text(bar(scene, engine, room)))
    else:
        line.append(" " * max(0, room))
    line.append("  hit ", "not bold dim").append(f"{share(hit(list(recent(engine, scene.now)))):>4}", colours.CACHE)
    aligned = f"{words:>{limit}}"
    return line.append("  ").append(aligned if line.cell_len + len(aligned) <= width else words)
