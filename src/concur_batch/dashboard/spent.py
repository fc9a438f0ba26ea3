"""Where the agents' time went since they were admitted, over the whole run, and what is under way."""

from __future__ import annotations

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.charts import cells
from concur_batch.dashboard.figures import seconds, share
from concur_batch.dashboard.layout import Section, flow, label, one_line, value
from concur_batch.dashboard.scene import Scene
from concur_batch.dashboard.under_way import phases
from concur_batch.state import RunState

_LEAST_BAR = 10
_ROOMY = 56
_LEGEND = 72  # cells that take the parts on one line
_MARKS = {"model": "█", "queue": "▓", "tool": "▒", "paused": "░", "retry": "█"}  # told apart without colours, too
_LETTERS = {"model": "m", "queue": "q", "tool": "t", "paused": "p", "retry": "r"}
_STYLES = {
    "model": colours.ACTIVE,
    "queue": colours.QUEUE,
    "tool": colours.TOOL,
    "paused": colours.HELD,
    "retry": colours.LOST,
}


def section(scene: Scene, rank: int, width: int) -> Section:
    """A bar and what its parts are: on one line, or on as many as it takes with what went before it, until admission."""
    whole = 2 if width >= _LEGEND else 3
    return Section(rank=rank, sizes=(1, whole), good=whole, draw=lambda width, height: _draw(scene, width, height))


def shares(state: RunState, now: float) -> tuple[dict[str, float], bool]:
    """Of the time since admission what each part took; and whether the engine's queue is known (estimated from samples).

    Paused is also who waits for an engine to return, or for the limit on model calls.

    Replies do not tell how long they queued at the engine. Of the calls that were there at the samples, as many were queued
    as their time went into it.
    """
    totals, present = state.totals, phases(state, now)
    model = totals.model_s + present["model"]
    flight = sum(engine.flight_s for engine in state.all_engines.values())
    queued = min(1.0, max(0.0, sum(engine.queue_s for engine in state.all_engines.values()) / flight)) if flight > 0 else 0.0
    parts = {
        "model": model * (1 - queued),
        "queue": model * queued,
        "tool": totals.tool_s + present["tool"],
        "paused": totals.paused_s + totals.wait_s + present["paused"],
        "retry": totals.retry_s + present["retry"],
    }
    whole = sum(parts.values())
    return ({name: part / whole for name, part in parts.items()} if whole > 0 else {}), flight > 0


def _before(state: RunState, now: float) -> float | None:
    """Of the time from the start to their ends, what agents waited for admission."""
    totals = state.totals
    since = totals.model_s + totals.tool_s + totals.paused_s + totals.wait_s + totals.retry_s
    whole = totals.admission_s + since + sum(phases(state, now).values())
    return totals.admission_s / whole if whole > 0 else None


def _draw(scene: Scene, width: int, height: int) -> list[Text]:
    found, queue_known = shares(scene.state, scene.now)
    if not found:
        return [label("time").append("no call yet", "dim")]
    legend = [_named(scene, name, found[name], known=queue_known or name != "queue") for name in _STYLES]
    if height < 2:
        words = one_line(Text(), legend, width)
        room = width - label("").cell_len - words.cell_len - 2
        if room < _LEAST_BAR:
            return flow(label("time"), legend, width, 1)
        return [label("time").append_text(_bar(scene, found, room)).append("  ").append_text(words)]
    bar = label("time").append_text(value(""))
    totals = scene.state.totals
    before = Text()
    if totals.admitted > 0 and width >= _ROOMY:
        before.append("  admission ", "dim").append(f"{seconds(totals.admission_s / totals.admitted):>7}")
        before.append(f" {share(_before(scene.state, scene.now)):>4}", "bold")
    bar.append_text(_bar(scene, found, width - bar.cell_len - before.cell_len)).append_text(before)
    return [bar, *flow(label(""), legend, width, height - 1)]


def _named(scene: Scene, name: str, part: float, *, known: bool) -> Text:
    mark = _LETTERS[name] if scene.ascii_only else _MARKS[name]
    about = scene.sign("≈", "~") if name == "queue" and known else ""
    return Text.assemble((mark, _STYLES[name]), (f" {name} ", "dim"), (f"{about + share(part) if known else '-':>3}", "bold"))


def _bar(scene: Scene, found: dict[str, float], width: int) -> Text:
    bar = Text()
    for name, n in zip(found, cells(list(found.values()), width), strict=True):
        bar.append((_LETTERS[name] if scene.ascii_only else _MARKS[name]) * n, _STYLES[name])
    return bar
