"""Which tools were called, how often they failed and how long they took. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from concur_batch import records as r
from concur_batch.report.reservoir import Reservoir
from concur_batch.report.tidy import clipped, tidy
from concur_batch.results.tally import percentile

MOST_TOOLS = 100  # a model may invent names; further ones are taken together
KEPT_SECONDS = 2_000  # per tool, drawn at random
OTHERS = "(all other names)"


@dataclass(slots=True)
class _Tool:
    seconds: Reservoir[float]
    calls: int = 0
    errors: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0


class Tools:
    """`call` every finished call."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._tools: dict[str, _Tool] = {}

    def call(self, record: r.ToolFinished, _: float) -> None:
        """Take one call in."""
        name = record.tool if record.tool in self._tools or len(self._tools) < MOST_TOOLS else OTHERS
        tool = self._tools.get(name)
        if tool is None:
            tool = self._tools[name] = _Tool(Reservoir(KEPT_SECONDS, self._random))
        tool.calls += 1
        tool.errors += not record.ok
        tool.total_s += record.seconds
        tool.longest_s = max(tool.longest_s, record.seconds)
        tool.seconds.add(record.seconds)

    def view(self) -> list[dict[str, object]]:
        """A row per tool, the one that took most time first, ready for JSON."""
        rows = sorted(self._tools.items(), key=lambda item: (-item[1].total_s, -item[1].calls, item[0]))
        return [
            {
                "tool": clipped(name),
                "calls": tool.calls,
                "errors": tool.errors,
                "p50_s": tidy(percentile(tool.seconds.items, 0.50)),
                "p95_s": tidy(percentile(tool.seconds.items, 0.95)),
                "max_s": tidy(tool.longest_s),
                "total_s": tidy(tool.total_s, 6),
            }
            for name, tool in rows
        ]
