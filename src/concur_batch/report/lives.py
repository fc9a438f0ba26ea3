"""What a sample of agents did when: the spans of the agent chart. Memory is bounded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import msgspec

from concur_batch import records as r
from concur_batch.report.reservoir import Reservoir
from concur_batch.report.tidy import clipped, moment, named

MOST_AGENTS = 60
MOST_SPANS = 400  # of one agent while they are collected


class Span(NamedTuple):
    """One phase of one agent."""

    phase: str  # waiting | retry | model | tool | paused
    start: float
    end: float
    tool: str = ""  # its name, and whether it has come to its end


_NONE: Mapping[str, Sequence[Span]] = {}


@dataclass(slots=True)
class _Life:
    rollout: str
    begun: float
    ended: float | None = None
    status: str = ""
    paused_at: float | None = None
    spans: list[Span] = field(default_factory=list)

    def add(self, span: Span) -> None:
        if span.end > span.start:
            self.spans.append(span)
            if len(self.spans) > MOST_SPANS:
                self.spans = coarser(self.spans)

    def back(self, at: float) -> None:
        if self.paused_at is not None:
            self.add(Span("paused", self.paused_at, at))
            self.paused_at = None


def coarser(spans: list[Span]) -> list[Span]:
    """Half as many: of every two neighbours the longer one, grown to cover both."""
    halved = []
    for first, second in zip(spans[::2], [*spans[1::2], None], strict=False):
        if second is None:
            halved.append(first)
        else:
            longer = first if first.end - first.start >= second.end - second.start else second
            halved.append(longer._replace(start=min(first.start, second.start), end=max(first.end, second.end)))
    return halved


class Lives:
    """Records of rollouts in order. Which agents are kept is drawn when they start, so that a whole life is seen."""

    def __init__(self, random: Random) -> None:
        self._drawn: Reservoir[str] = Reservoir(MOST_AGENTS, random)
        self._lives: dict[str, _Life] = {}

    def started(self, record: r.RolloutStarted, at: float) -> None:
        """Admitted: of one known already another attempt, or taken up by another segment."""
        life = self._lives.get(record.rollout)
        if life is not None:
            life.back(at)
            life.ended, life.status = None, ""
        elif not record.resumed and record.attempt == 1:  # of a later one all was drawn already
            left = self._drawn.add(record.rollout)
            if left != record.rollout:
                self._lives.pop(left or "", None)
                self._lives[record.rollout] = _Life(record.rollout, at)

    @property
    def unended(self) -> list[str]:
        """Those drawn that have not ended."""
        return [life.rollout for life in self._lives.values() if life.ended is None]

    def segment(self, _: r.SegmentStarted, at: float, cut_off: Mapping[str, Sequence[Span]] = _NONE) -> None:
        """Whoever was live waits to be taken up. `cut_off`: by rollout what it was at when the last process broke off."""
        for life in self._lives.values():
            if life.ended is None and life.paused_at is None:
                for span in cut_off.get(life.rollout, ()):
                    life.add(span)
                life.paused_at = at

    def reply(self, record: r.ReplyReceived, at: float) -> None:
        """Waiting, lost attempts and the call itself end here, one after the other."""
        life = self._lives.get(record.rollout)
        if life is not None:
            sent = at - record.model_s
            tried = sent - record.retry_s
            life.add(Span("waiting", tried - record.wait_s, tried))
            life.add(Span("retry", tried, sent))
            life.add(Span("model", sent, at))

    def failed(self, record: r.CallFailed, at: float) -> None:
        """All attempts were lost."""
        life = self._lives.get(record.rollout)
        if life is not None:
            tried = at - record.retry_s
            life.add(Span("waiting", tried - record.wait_s, tried))
            life.add(Span("retry", tried, at))

    def tool(self, record: r.ToolFinished, at: float) -> None:
        """A call that ends here."""
        life = self._lives.get(record.rollout)
        if life is not None:
            began = at - record.seconds
            life.add(Span("waiting", began - record.wait_s, began))
            life.add(Span("tool", began, at, clipped(record.tool, 60)))

    def paused(self, record: r.RolloutPaused, at: float) -> None:
        """Without a slot from here on."""
        life = self._lives.get(record.rollout)
        if life is not None:
            life.paused_at = at

    def returned(self, record: r.RolloutReturned, at: float) -> None:
        """With a slot again."""
        life = self._lives.get(record.rollout)
        if life is not None:
            life.back(at)

    def finished(self, record: r.RolloutFinished, at: float, under_way: Iterable[Span] = ()) -> None:
        """Over. `under_way`: what it was at until then; it has no record of its own where it was cut off."""
        life = self._lives.get(record.rollout)
        if life is not None:
            if record.cut_off is not None and life.paused_at is None:
                earliest = at - sum(msgspec.structs.astuple(record.cut_off))  # what was cut off before is not under way
                for span in under_way:
                    life.add(span._replace(start=max(span.start, earliest)))
            life.back(at)
            life.ended, life.status = at, record.status

    def view(self, now: float, most_spans: int, under_way: Mapping[str, Sequence[Span]] = _NONE) -> dict[str, object]:
        """Agents by start, and their spans as `[agent, start, seconds, tool]` by phase, ready for JSON.

        `under_way`: by rollout what it is at, besides a pause.
        """
        lives = sorted(self._lives.values(), key=lambda life: life.begun)
        each = max(8, most_spans // max(1, len(lives)))
        phases: dict[str, list[list[object]]] = {}
        coarse = False
        for place, life in enumerate(lives):
            spans = list(life.spans)
            if life.paused_at is not None and now > life.paused_at:
                spans.append(Span("paused", life.paused_at, now))
            elif life.paused_at is None and life.ended is None:
                spans += [span for span in under_way.get(life.rollout, ()) if span.end > span.start]
            while len(spans) > each:
                spans, coarse = coarser(spans), True
            for phase, start, end, tool in spans:
                row: list[object] = [place, moment(start), moment(end - start)]
                phases.setdefault(phase, []).append([*row, clipped(tool, 80)] if tool else row)
        agents = [
            {
                "id": named(life.rollout),
                "status": life.status or "not ended",
                "start": moment(life.begun),
                "end": moment(now if life.ended is None else life.ended),
            }
            for life in lives
        ]
        return {"agents": agents, "of": self._drawn.seen, "phases": phases, "coarse": coarse}
