"""Which rollouts are shown whole: every failure while there is room, and a fair sample of the others. Pure.

Kept are 8 bytes per record of the rollouts that are live or chosen, and a line for each of at most `MOST_LISTED`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

from concur_batch import records as r
from concur_batch.report.reservoir import Reservoir
from concur_batch.report.tidy import moment

T = TypeVar("T")

MOST_FAILURES = 1_000
MOST_SAMPLED = 400
MOST_LIVE = 40
MOST_LISTED = 20_000
MOST_RECORDS = 1_200  # of one rollout; of a longer one the first are shown


@dataclass(slots=True)
class Chosen:
    """One rollout's latest attempt, and where its records stand in the journal."""

    rollout: str
    status: str = "not ended"
    steps: int = 0
    context_tokens: int = 0
    wall_s: float | None = None
    positions: array[int] = field(default_factory=lambda: array("q"))
    left_out: int = 0  # records beyond MOST_RECORDS

    def row(self) -> list[object]:
        """As the page lists it: id, status, steps, context, seconds."""
        wall = None if self.wall_s is None else moment(self.wall_s)
        return [self.rollout, self.status, self.steps, self.context_tokens, wall]


class _Drawn(Generic[T]):
    """A fair sample with at most one item of each rollout, which can be taken out again."""

    def __init__(self, most: int, random: Random) -> None:
        self._sample: Reservoir[tuple[str, T]] = Reservoir(most, random)
        self._places: dict[str, int] = {}

    @property
    def items(self) -> list[T]:
        return [item for _, item in self._sample.items]

    def add(self, rollout: str, item: T) -> None:
        self.take_out(rollout)
        items, place = self._sample.items, self._sample.place()
        if place is None:
            return
        if place == len(items):
            items.append((rollout, item))
        else:
            del self._places[items[place][0]]
            items[place] = (rollout, item)
        self._places[rollout] = place

    def take_out(self, rollout: str) -> None:
        place = self._places.pop(rollout, None)
        if place is None:
            return
        items = self._sample.items
        last = items.pop()
        if place < len(items):
            items[place] = last
            self._places[last[0]] = place


class Choice:
    """`add` every record of a rollout with its position, in order; then take `failures`, `others` and `rows`."""

    def __init__(self, random: Random) -> None:
        self._live: dict[str, Chosen] = {}
        self._failed: _Drawn[Chosen] = _Drawn(MOST_FAILURES, random)
        self._sample: _Drawn[Chosen] = _Drawn(MOST_SAMPLED, random)
        self._listed: _Drawn[list[object]] = _Drawn(MOST_LISTED, random)

    def started(self, record: r.RolloutStarted, position: int) -> None:
        """Another attempt takes the place of the one before."""
        if record.resumed and record.rollout in self._live:
            return
        if record.attempt > 1:
            self._forget(record.rollout)
        self._live[record.rollout] = Chosen(record.rollout)
        self._note(self._live[record.rollout], position)

    def reply(self, record: r.ReplyReceived, position: int) -> None:
        """A step."""
        chosen = self._live.get(record.rollout)
        if chosen is not None:
            chosen.steps = max(chosen.steps, record.step)
            chosen.context_tokens = record.prompt_tokens + record.completion_tokens
            self._note(chosen, position)

    def part(self, record: r.ToolFinished | r.CallFailed, position: int) -> None:
        """What else belongs to its story."""
        chosen = self._live.get(record.rollout)
        if chosen is not None:
            self._note(chosen, position)

    def finished(self, record: r.RolloutFinished, position: int) -> None:
        """Its end; it is now drawn or forgotten."""
        chosen = self._live.pop(record.rollout, None) or Chosen(record.rollout)
        chosen.status, chosen.wall_s = record.status, record.wall_s
        chosen.positions.append(position)
        (self._failed if record.status == "error" else self._sample).add(record.rollout, chosen)
        self._listed.add(record.rollout, chosen.row())

    def _note(self, chosen: Chosen, position: int) -> None:
        if len(chosen.positions) < MOST_RECORDS:
            chosen.positions.append(position)
        else:
            chosen.left_out += 1

    def _forget(self, rollout: str) -> None:
        """An earlier attempt that was drawn: it is not the rollout's story any more."""
        self._failed.take_out(rollout)
        self._sample.take_out(rollout)
        self._listed.take_out(rollout)

    @property
    def failures(self) -> list[Chosen]:
        """With status `error`."""
        return self._failed.items

    @property
    def others(self) -> list[Chosen]:
        """Of the other statuses, and some that have not ended."""
        live = list(self._live.values())
        return [*live[:MOST_LIVE], *self._sample.items]

    def rows(self) -> Iterator[list[object]]:
        """A row for each that is listed: those that may be shown first."""
        told = set()
        for chosen in (*self.failures, *self.others, *self._live.values()):
            if chosen.rollout not in told:
                told.add(chosen.rollout)
                yield chosen.row()
        yield from (row for row in self._listed.items if row[0] not in told)
