"""A call that a rollout made in an earlier segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from concur_batch import records as r


@dataclass(slots=True)
class PastCall:
    """A tool call of an earlier segment; `finished` None: it was interrupted."""

    started: r.ToolStarted
    finished: r.ToolFinished | None = None


Call: TypeAlias = r.ReplyReceived | r.CallFailed | PastCall
