"""Who may run: whole agents, at a boundary. The choices the paper leaves open (who pauses, who returns) are parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from concur_batch.control.base import Admission, AgentView, Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAdmission(Admission):
    """An agent starts while there is a slot (and room in tokens); over the limit, the first of `pause` order give theirs back."""

    pause: Literal["newest", "oldest", "largest", "smallest"] = "newest"
    back: Literal["oldest", "newest"] = "oldest"

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        """A free slot, and room for its context; with nobody active the token limit lets one agent in."""
        if len(roster.active) >= roster.limit.agents:
            return False
        return not roster.active or roster.committed_tokens + agent.context_tokens <= roster.limit.tokens

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        """False for those who, taken first in `pause` order, bring the rest within the limit."""
        active, limit = roster.active, roster.limit
        excess, surplus = len(active) - limit.agents, roster.committed_tokens - limit.tokens
        if excess <= 0 and surplus <= 0:
            return True
        left = len(active)
        for candidate in sorted(active.values(), key=self._rank, reverse=True):
            if excess <= 0 and (surplus <= 0 or left == 1):  # under a token limit the last one goes on, or nobody ever would
                return True
            if candidate is agent:
                return False
            excess, surplus, left = excess - 1, surplus - candidate.context_tokens, left - 1
        return True

    def next_returning(self, roster: Roster) -> AgentView | None:
        """The first to be admitted, or the last."""
        if not roster.paused:
            return None
        choose = min if self.back == "oldest" else max
        return choose(roster.paused.values(), key=lambda view: view.order)

    def _rank(self, view: AgentView) -> tuple[int, int]:
        match self.pause:
            case "newest":
                return view.order, 0
            case "oldest":
                return -view.order, 0
            case "largest":
                return view.context_tokens, view.order
            case _:
                return -view.context_tokens, view.order
