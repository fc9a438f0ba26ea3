"""One run, read once from its journal: everything that the report shows of it. Memory is bounded by what is live and by what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from concur_batch import records as r
from concur_batch.report.chosen import Choice, Chosen
from concur_batch.report.events import Events
from concur_batch.report.failures import Failures
from concur_batch.report.growth import Growth
from concur_batch.report.lives import Lives, Span
from concur_batch.report.marks import MOST, Marks
from concur_batch.report.timelines import ALL, Timelines
from concur_batch.report.tools import Tools
from concur_batch.report.trajectory import trajectory
from concur_batch.report.under_way import seconds, spans
from concur_batch.results.elapsed import Elapsed
from concur_batch.results.source import PositionedRecords
from concur_batch.results.summary import rate, summarise
from concur_batch.results.tally import Tally
from concur_batch.state import RunState

_SEED = 20_240_601  # of what is drawn: the same journal gives the same report
_PARTS = ("admission_s", "paused_s", "wait_s", "model_s", "tool_s", "retry_s")
_PHASES = {"paused_s": "paused", "wait_s": "waiting", "model_s": "model", "tool_s": "tool"}

Told = Callable[[Any, float], None]


class RunReport:
    """`read` the journal, then ask. `source` is kept for the trajectories, which are read one by one."""

    def __init__(self, source: PositionedRecords) -> None:
        random = Random(_SEED)  # noqa: S311 - a sample, no secret
        self.state = RunState()
        self.tally = Tally()
        self.timelines = Timelines()
        self.marks = Marks()
        self.events = Events()
        self.growth = Growth(random)
        self.tools = Tools(random)
        self.failures = Failures()
        self.lives = Lives(random)
        self.choice = Choice(random)
        self.versions: list[str] = []  # of concur and Python, in the order seen
        self._source = source

    def read(self) -> None:
        """The one pass over all records. Raises RunDirectoryError where the journal is broken."""
        elapsed = Elapsed()
        at_moments, at_positions = self._listeners()
        nobody: tuple[Told, ...] = ()
        for position, record in self._source.positioned():
            at = elapsed.at(record)
            kind = type(record)
            for told in at_moments.get(kind, nobody):  # while the state is as it was before
                told(record, at)
            self.state.apply(record)
            self.tally.apply(record)
            noted = at_positions.get(kind)
            if noted is not None:
                noted(record, position)

    def _listeners(self) -> tuple[Mapping[type[r.Record], tuple[Told, ...]], Mapping[type[r.Record], Callable[[Any, int], None]]]:
        """Who is told of which kind: with the moment, and with the position."""
        lines, marks, lives, failures, events = self.timelines, self.marks, self.lives, self.failures, self.events
        moments: dict[type[r.Record], tuple[Told, ...]] = {
            r.SegmentStarted: (lines.segment, marks.segment, events.segment, self._segment),
            r.BatchLoaded: (lines.loaded,),
            r.EngineSeen: (events.seen,),
            r.EngineLost: (events.lost,),
            r.EngineReturned: (events.returned,),
            r.DrainStarted: (events.drain,),
            r.Steered: (events.steered,),
            r.SegmentFinished: (lines.finished, events.finished),
            r.Sampled: (lines.sampled,),
            r.Decided: (lines.decided, marks.decided),
            r.RolloutStarted: (lines.back, lives.started, failures.started),
            r.ReplyReceived: (self.growth.reply, lives.reply),
            r.CallFailed: (failures.call_failed, lives.failed),
            r.ToolFinished: (self.tools.call, lives.tool),
            r.RolloutPaused: (lines.paused, lives.paused),
            r.RolloutReturned: (lines.back, lives.returned),
            r.RolloutFinished: (lines.back, self._finished, failures.finished),
        }
        positions: dict[type[r.Record], Callable[[Any, int], None]] = {
            r.RolloutStarted: self.choice.started,
            r.ReplyReceived: self.choice.reply,
            r.ToolFinished: self.choice.part,
            r.CallFailed: self.choice.part,
            r.RolloutFinished: self.choice.finished,
        }
        return moments, positions

    def _segment(self, record: r.SegmentStarted, at: float) -> None:
        self.lives.segment(record, at, self._under_way("cut off"))
        version = f"concur {record.version}" + (f", Python {record.python}" if record.python else "")
        if version not in self.versions:
            self.versions.append(version)

    def _finished(self, record: r.RolloutFinished, at: float) -> None:
        live = self.state.live.get(record.rollout)
        self.lives.finished(record, at, () if live is None else spans(self.state, live, "cut off", at))

    def _under_way(self, word: str) -> dict[str, list[Span]]:
        """What those agents are at that are drawn as lines."""
        live = self.state.live
        return {name: list(spans(self.state, live[name], word)) for name in self.lives.unended if name in live}

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds, as far as the journal goes."""
        return summarise(self.state, failures=self.failures.counts())

    def agent_time(self) -> dict[str, float]:
        """Seconds of all agents together, with what is under way at the newest record. Admission: from the opening of the
        segment to the slot; tools also side by side.
        """
        totals, under_way = self.state.totals, seconds(self.state)
        told = {part: float(getattr(totals, part)) for part in _PARTS}
        return {part: round(value + under_way.get(_PHASES.get(part, ""), 0.0), 3) for part, value in told.items()}

    def numbers(self) -> dict[str, Any]:
        """The run's numbers without curves, ready for JSON."""
        return self.summary() | {
            "figures": self.tally.figures() | {"limit": self.tally.limit},
            "agent_time": self.agent_time(),
            "under_way_s": round(sum(seconds(self.state).values()), 3),  # of `agent_time`
            "admission_mean_s": rate(self.state.totals.admission_s, self.state.totals.admitted),
            "tools": self.tools.view(),
            "errors": self.failures.view(),
        }

    def view(self, *, columns: int, most_spans: int, marks: int = MOST) -> dict[str, Any]:
        """The same and the curves, of at most `columns` points each, with at most so many `marks` per engine, ready for JSON."""
        engines = self.timelines.view(columns)
        several = len(engines) > 1
        for place, name in enumerate(self.timelines.engines):
            engines[place]["marks"] = [] if several and name == ALL else self.marks.view(name, marks)
        return self.numbers() | {
            "timelines": engines,
            "events": self.events.view(),
            "growth": self.growth.view(),
            "lives": self.lives.view(self.state.elapsed, most_spans, self._under_way("under way")),
            "versions": self.versions,
        }

    def story(self, chosen: Chosen) -> dict[str, Any]:
        """One rollout as the viewer shows it, read from the journal."""
        return trajectory(chosen, map(self._source.at, chosen.positions))
