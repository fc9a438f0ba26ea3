"""The table of live agents: the few worth looking at, and sums for the rest. Cheap at thousands of agents."""

from __future__ import annotations

import heapq
from collections import Counter

from rich.cells import cell_len
from rich.text import Text

from concur_batch.dashboard.figures import clean, count, duration, fit
from concur_batch.state import LiveRollout, RunState

MOST_ROWS = 20
_PHASES = {"model": "green", "tool": "cyan", "paused": "yellow"}
_STEP, _PHASE, _TIME, _CONTEXT = 5, 6, 8, 7  # cells
_GAP = "  "


def table(state: RunState, now: float, width: int, height: int, *, ascii_only: bool) -> list[Text]:
    """At most `height` lines: a header, rows, and a line for those not shown. Empty where too low or nobody is live."""
    live = state.live
    if not live or height < 3:
        return []
    rows = min(MOST_ROWS, height - 1)
    if len(live) > rows:
        rows = min(rows, height - 2)
    shown = heapq.nsmallest(rows, live.values(), key=_interest)
    tool_cells = min(24, max(8, width // 6))
    room = width - (_STEP + _PHASE + _TIME + _CONTEXT + tool_cells + 5 * len(_GAP))
    longest = max(cell_len(clean(agent.rollout, ascii_only=ascii_only)) for agent in shown)
    name_cells = max(6, min(room, max(16, longest)))
    lines = [
        Text(
            _GAP.join(
                (
                    fit("agent", name_cells, ascii_only=ascii_only),
                    "step".rjust(_STEP),
                    "phase".ljust(_PHASE),
                    "for".rjust(_TIME),
                    "context".rjust(_CONTEXT),
                    "tool",
                )
            ),
            style="dim",
        )
    ]
    lines += [_row(agent, now, name_cells, tool_cells, ascii_only=ascii_only) for agent in shown]
    if len(live) > len(shown):
        lines.append(_rest(live, shown))
    return lines


def _interest(agent: LiveRollout) -> tuple[bool, float]:
    """Longest in its phase first; paused ones last, they wait because they were told to."""
    return agent.paused, agent.since


def _row(agent: LiveRollout, now: float, name_cells: int, tool_cells: int, *, ascii_only: bool) -> Text:
    phase = agent.phase
    names = list(dict.fromkeys(agent.tools.values()))
    more = len(agent.tools) - 1
    tool = clean(names[0], ascii_only=ascii_only) + (f" +{more}" if more else "") if names else ""
    line = Text(fit(clean(agent.rollout, ascii_only=ascii_only), name_cells, ascii_only=ascii_only))
    line.append(_GAP + fit(count(agent.step), _STEP, ascii_only=ascii_only, right=True) + _GAP)
    line.append(phase.ljust(_PHASE), _PHASES[phase])
    line.append(_GAP + fit(duration(now - agent.since), _TIME, ascii_only=ascii_only, right=True))
    line.append(_GAP + fit(count(agent.context_tokens), _CONTEXT, ascii_only=ascii_only, right=True))
    line.append(_GAP + fit(tool, tool_cells, ascii_only=ascii_only).rstrip())
    return line


def _rest(live: dict[str, LiveRollout], shown: list[LiveRollout]) -> Text:
    phases = Counter(agent.phase for agent in live.values())
    phases.subtract(agent.phase for agent in shown)
    context = sum(agent.context_tokens for agent in live.values()) - sum(agent.context_tokens for agent in shown)
    parts = [f"{phases[phase]:,} {phase}" for phase in _PHASES if phases[phase]]
    return Text(f"and {len(live) - len(shown):,} more: {', '.join(parts)}; {count(context)} tokens", style="dim")
