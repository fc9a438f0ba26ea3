"""Fold the record stream into what status, dashboard and report show. Pure; memory grows with live agents, not with steps.

One dictionary entry per ended rollout is kept (its status), so that resume knows what to skip.
"""

from concur_batch.state.engine import EngineView, Move
from concur_batch.state.faults import Example, Faults, Group
from concur_batch.state.live import LiveRollout, RunningTool
from concur_batch.state.retrying import Retrying
from concur_batch.state.run import RunState, fold
from concur_batch.state.timeline import Timeline
from concur_batch.state.totals import ToolTotals, Totals

__all__ = [
    "EngineView",
    "Example",
    "Faults",
    "Group",
    "LiveRollout",
    "Move",
    "Retrying",
    "RunState",
    "RunningTool",
    "Timeline",
    "ToolTotals",
    "Totals",
    "fold",
]
