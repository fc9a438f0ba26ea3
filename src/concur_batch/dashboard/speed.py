"""What the engines do, over the last minutes: hit and miss rate, tokens per second, queue. One line each, on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from concur_batch.dashboard import colours
from concur_batch.dashboard.charts import tall
from concur_batch.dashboard.figures import count, duration, share
from concur_batch.dashboard.intervals import Interval, gather, newest, total
from concur_batch.dashboard.layout import LABEL, VALUE, Section, label, value
from concur_batch.dashboard.scene import Scene

_TOP = 18  # cells right of a chart, for its greatest value and what it is in
THRASHING = 0.3  # of the history prefilled again: most of what the engine computes it has computed before
_ROOMY = 60  # cells from which on there are these
_COLD_S = 30.0  # of a resumed segment: its engine may have begun with an empty cache, which no limit is to blame for
_FEW = 3  # samples of one engine; what is a difference between two readings is not in the first of them


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """`now` is that of the last 15 seconds, as far as a rate is meant."""

    name: str
    style: str
    unit: str
    now: float | None
    values: Sequence[float | None]
    is_share: bool = False
    is_whole: bool = True  # whether the newest value is of all engines: else it sets no maximum
    alarm: float = math.inf  # from which value on it stands out
    note: str = ""  # in place of its greatest value

    @property
    def top(self) -> float:
        """What a full block stands for."""
        values = (*(self.values if self.is_whole else self.values[:-1]), self.now)
        return 1.0 if self.is_share else max((v for v in values if v is not None and math.isfinite(v)), default=0.0)

    @property
    def is_told(self) -> bool:
        """Whether anything is known."""
        return any(v is not None for v in self.values)

    def shown(self, figure: float | None) -> str:
        """As text."""
        return share(figure) if self.is_share else count(figure)


_ORDER = ("hit", "miss", "decode", "queue", "prefill", "running")  # which come first where there is not room for all


def section(scene: Scene, rank: int) -> Section:
    """Two lines at least; six, and then taller ones with their axis."""
    return Section(
        rank=rank, sizes=(2, 3, 4, 5, 6, 7, 13, 19, 25), good=5, draw=lambda width, height: _draw(scene, width, height)
    )


def _draw(scene: Scene, width: int, height: int) -> list[Text]:
    room = max(1, width - LABEL - VALUE)
    room -= _TOP if room >= _ROOMY else 0
    step, columns = gather(scene.state, scene.now, room)
    is_whole = columns[-1].is_whole
    rows = [replace(row, is_whole=is_whole) for row in _rows(scene, columns) if row.name in _ORDER[:height]]
    tallness = max(1, (height - 1) // len(_ORDER))
    lines = [line for row in rows for line in _chart(scene, row, room, tallness)]
    if height > len(_ORDER):
        lines.append(_axis(step, room))
    return lines


def _rows(scene: Scene, columns: Sequence[Interval]) -> list[_Row]:
    state, now = scene.state, total(scene.state, scene.now)
    told = [engine for engine in state.engines.values() if engine.sample is not None]
    silent = now.decode == 0 and bool(newest(told, "running_requests"))
    return [
        _Row(name="hit", style=colours.CACHE, unit="", now=now.hit, values=[x.hit for x in columns], is_share=True),
        _Row(
            name="miss",
            style=colours.LOST,
            unit="",
            now=now.miss,
            values=[x.miss for x in columns],
            is_share=True,
            alarm=THRASHING,
        ),
        _Row(name="prefill", style=colours.ACTIVE, unit="tok/s", now=now.prefill, values=[x.prefill for x in columns]),
        _Row(
            name="decode",
            style=colours.ACTIVE,
            unit="tok/s",
            now=now.decode,
            values=[x.decode for x in columns],
            note="as replies come" if silent else "",
        ),
        _Row(
            name="queue", style=colours.QUEUE, unit="req", now=newest(told, "queued_requests"), values=[x.queued for x in columns]
        ),
        _Row(
            name="running",
            style=colours.ACTIVE,
            unit="req",
            now=newest(told, "running_requests"),
            values=[x.running for x in columns],
        ),
    ]


def _unknown(scene: Scene, name: str) -> str:
    """Why there is nothing in a row: not yet, or never."""
    fresh = [[sample for sample in engine.samples if not sample.stale] for engine in scene.state.engines.values()]
    samples = [sample for own in fresh for sample in own]
    if not samples:
        return ""
    if name == "hit":
        said = sum(sample.prompt_tokens > 0 for sample in samples)
        return _NOT_TOLD if said else "no reply yet"
    if name == "miss":
        replied = [sample for sample in samples if sample.prompt_tokens > 0]
        if any(sample.history_tokens > 0 or sample.cached_tokens is None for sample in replied):
            return _NOT_TOLD
        if not replied:
            return "no reply yet"
        return "first calls after a resume do not count" if scene.state.segments > 1 else "no history was sent again yet"
    return _NOT_TOLD if max(map(len, fresh)) >= _FEW else "no reading yet"


_NOT_TOLD = "not told by the engine"


def _chart(scene: Scene, row: _Row, room: int, rows: int) -> list[Text]:
    lines = []
    if not row.is_told:
        said = label(row.name).append_text(value("-")).append(_unknown(scene, row.name), "dim")
        return [*(Text() for _ in range(rows - 1)), said]
    cold = scene.state.segments > 1 and scene.now < _COLD_S
    drawn = tall(row.values, room, rows, top=row.top, ascii_only=scene.ascii_only)
    for i, blocks in enumerate(drawn):
        lowest = i == rows - 1
        loud = row.now is not None and row.now >= row.alarm and not cold
        name = row.name if lowest else ""
        line = Text.assemble((f"{name:<{LABEL}}", f"bold {row.style}")) if loud else label(name)
        line.append_text(value(row.shown(row.now) if lowest else "", f"bold {row.style}" if loud else "bold"))
        line.append(blocks, row.style)
        if lowest and room >= _ROOMY - _TOP:
            line.append("  thrashing" if loud else "", f"bold {row.style}")
            line.append("" if row.is_share else f"  {row.note or f'max {row.shown(row.top)} {row.unit}'}", "dim")
        lines.append(line)
    return lines


def _axis(step: float, room: int) -> Text:
    """From so long ago to now."""
    start = f"{duration(step * room)} ago"
    return Text(" " * (LABEL + VALUE) + start + "now".rjust(max(0, room - len(start))), style="dim")
