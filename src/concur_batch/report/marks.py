"""When and why a limit was moved, in bounded memory: of moves close together the greatest is kept. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from concur_batch import records as r
from concur_batch.report.tidy import clipped, moment

_WHOLLY = 20.0  # the move from or to no limit, as a logarithm
MOST = 160  # per engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One move of a limit, or the greatest of several close together."""

    at: float
    reason: str
    agents: int | None
    tokens: int | None
    requests: int | None
    up: bool
    size: float  # how many times it moved, as a logarithm
    moves: int = 1


class _Slots:
    """One mark per slot of time; slots are doubled in length when there are more than `MOST`."""

    def __init__(self) -> None:
        self._slots: dict[int, Mark] = {}
        self._seconds = 0.25

    @property
    def marks(self) -> list[Mark]:
        return list(self._slots.values())

    def add(self, mark: Mark) -> None:
        slot = int(mark.at / self._seconds)
        held = self._slots.get(slot)
        if held is not None:
            mark = replace(held if held.size >= mark.size else mark, moves=held.moves + mark.moves)
        self._slots[slot] = mark
        if len(self._slots) > MOST:
            marks, self._slots = self.marks, {}
            self._seconds *= 2
            for one in marks:
                self.add(one)


class Marks:
    """`decided` in order. A limit on tokens drifts all the time: it has to move by more than a fiftieth."""

    def __init__(self) -> None:
        self._last: dict[str, r.Decided] = {}
        self._marks: dict[str, _Slots] = {}

    def segment(self, _: r.SegmentStarted, __: float) -> None:
        """The first decision of a segment is compared with none before it."""
        self._last.clear()

    def decided(self, record: r.Decided, at: float) -> None:
        """Take a decision in; one that moves nothing makes no mark."""
        last = self._last.get(record.engine)
        move = None if last is None else _move(last, record)
        if last is not None and move is None:
            return
        self._last[record.engine] = record
        size = 1.0 if move is None else move
        self._marks.setdefault(record.engine, _Slots()).add(
            Mark(
                at=at,
                reason=clipped(record.reason, 80),
                agents=record.agents,
                tokens=record.tokens,
                requests=record.requests,
                up=size > 0,
                size=abs(size),
            )
        )

    def view(self, engine: str, most: int = MOST) -> list[dict[str, object]]:
        """One engine's, the `most` greatest of them, ready for JSON."""
        marks = self._marks[engine].marks if engine in self._marks else []
        if len(marks) > most:
            marks = sorted(sorted(marks, key=lambda mark: -mark.size)[:most], key=lambda mark: mark.at)
        return [
            {
                "t": moment(mark.at),
                "reason": mark.reason,
                "agents": mark.agents,
                "tokens": mark.tokens,
                "requests": mark.requests,
                "up": mark.up,
                "moves": mark.moves,
            }
            for mark in marks
        ]


def _move(before: r.Decided, now: r.Decided) -> float | None:
    """How many times the limit grew, as a logarithm, of the one that moved most; None: none did."""
    greatest = 0.0
    for kind, least in (("agents", 0.0), ("tokens", 0.02), ("requests", 0.0)):
        old, new = getattr(before, kind), getattr(now, kind)
        if old == new:
            continue
        times = _WHOLLY if new is None else -_WHOLLY if old is None else math.log(max(new, 1) / max(old, 1))
        if abs(times) > max(least, abs(greatest)):
            greatest = times
    return greatest or None
