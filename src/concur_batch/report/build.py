"""From runs that have been read to the parts of a page, within its size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from concur_batch.report.comparison import compared, differences, flattened
from concur_batch.report.marks import MOST
from concur_batch.report.packing import SAMPLE_SHARE, Pack, packed
from concur_batch.report.page import page, room
from concur_batch.report.run import RunReport
from concur_batch.report.tidy import clipped, named

MOST_BYTES = 7_900_000  # of the file
MOST_COLUMNS = 240  # of one curve
MOST_POINTS = 6_000  # of all curves of one kind together
MOST_MARKS = 4_000  # of all engines together
MOST_SPANS = 6_000  # of the agent charts together
SETTINGS_CHARS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, and what is known of it besides its journal."""

    name: str  # short, and another than that of the other runs
    path: str
    condition: str  # as in `concur status`
    report: RunReport
    config: dict[str, Any]  # what config.json holds
    simulated: bool = False
    has_results: bool = True  # results.parquet is there

    @property
    def policy(self) -> str:
        """The controllers in force, as they would be given on the command line."""
        seen = [view.seen.policy for view in self.report.state.all_engines.values() if view.seen and view.seen.policy]
        return ", ".join(dict.fromkeys(seen))

    def facts(self) -> dict[str, Any]:
        """What names it, ready for JSON."""
        return {
            "name": self.name,
            "run": self.path,
            "condition": self.condition,
            "simulated": self.simulated,
            "policy": self.policy,
        }

    def numbers(self) -> dict[str, Any]:
        """Its numbers, as `--json` prints them."""
        return self.facts() | self.report.numbers()


def html(runs: Sequence[Run]) -> Iterator[str]:
    """The page in parts. At least one run."""
    data, blocks = _content(runs)
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    return page(f"{clipped(title)} - concur report", data, blocks)


def _content(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str]]:
    curves = sum(max(1, len(run.report.timelines.engines)) for run in runs)
    columns = max(20, min(MOST_COLUMNS, MOST_POINTS // curves))
    marks = max(10, min(MOST, MOST_MARKS // curves))
    views = [_view(run, columns, MOST_SPANS // len(runs), marks) for run in runs]
    data: dict[str, Any] = {"runs": views}
    if len(runs) > 1:
        data["compared"] = compared([run.report.numbers() for run in runs])
        data["differences"] = differences([flattened(run.config.get("config", {})) for run in runs])
    each = room(data, MOST_BYTES) // len(runs)
    blocks: list[str] = []
    for run, view in zip(runs, views, strict=True):
        view["trajectories"] = _trajectories(run, each, blocks)
    return data, blocks


def _view(run: Run, columns: int, spans: int, marks: int) -> dict[str, Any]:
    settings = {key: value for key, value in run.config.items() if key != "simulated"}
    text = clipped(json.dumps(settings, indent=2), SETTINGS_CHARS)
    return run.facts() | run.report.view(columns=columns, most_spans=spans, marks=marks) | {"settings": text}


def _trajectories(run: Run, budget: int, blocks: list[str]) -> dict[str, Any]:
    """Pack as many as fit and append their blocks; returns where they are, for the page."""
    report, rows = run.report, list(run.report.choice.rows())
    while len(listed := packed([_listed(row, (99_999, 99_999)) for row in rows])) > budget // 3 and rows:
        del rows[len(rows) // 2 :]
    pack = Pack(max(0, budget - len(listed)))
    findable = {row[0] for row in rows}
    others = [one for one in report.choice.others if one.rollout in findable]
    failures = [one for one in report.choice.failures if one.rollout in findable]
    pack.fill(others, report.story, SAMPLE_SHARE if failures else 1.0)
    pack.fill(failures, report.story)
    pack.fill(others, report.story)
    first = len(blocks) + 1
    blocks.append(packed([_listed(row, _place(pack.where.get(str(row[0])), first)) for row in rows]))
    blocks.extend(pack.blocks)
    return {
        "list": first - 1,  # the block that holds the rows: id, status, steps, context, seconds, block, place
        "shown": len(pack.where),
        "listed": len(rows),
        "all": len(report.state.ended) + len(report.state.live),
        "failures": report.state.failed,
        "failures_shown": sum(1 for one in failures if one.rollout in pack.where),
    }


def _listed(row: Sequence[object], place: tuple[int, int]) -> list[object]:
    """A rollout as the viewer finds it."""
    return [named(str(row[0])), *row[1:], *place]


def _place(where: tuple[int, int] | None, first: int) -> tuple[int, int]:
    return (-1, -1) if where is None else (first + where[0], where[1])
