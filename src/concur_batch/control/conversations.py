"""How much KV agents with several conversations will need again, besides that of the one that each is in. Pure.

An agent may begin a conversation beside the one that it has, of a sub-agent or a judge, and come back to it; or begin anew from a summary,
and never come back. What it comes back to within the time for which KV is worth keeping (break-even, `control.patience`) has its place in
the pool; what it comes back to later is cheaper to compute again. Which of it agents do is learned from all of an engine together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

_PRIOR = 2.0  # conversations, half of which are come back to


class Left(NamedTuple):
    """A conversation that its agent has been in and is not in now."""

    tokens: int  # as of its last reply, without what all agents share
    since: float  # the time of that
    for_new: bool  # for one that began then; False: for one that had been left before


@dataclass(slots=True, eq=False)
class Conversations:
    """Those of one agent, numbered from 1 as they began. Times: seconds of the engine's clock."""

    current: int = 0  # the one of the last reply; 0: there was none
    newest: int = 0
    tokens: int = 0  # of the current one
    since: float = 0.0  # the last reply
    left: dict[int, Left] = field(default_factory=dict)  # those that may be come back to in time


class Returns:
    """How many of the conversations that are left are come back to in time; apart for those left for a new one, as their fate is another."""

    def __init__(self) -> None:
        self._left = {True: _PRIOR, False: _PRIOR}
        self._back = {True: _PRIOR / 2, False: _PRIOR / 2}

    def replied(self, of: Conversations, number: int, tokens: int, *, began: float | None, now: float, keep_s: float) -> float:
        """A reply in conversation `number` of an agent; its call has begun at `began` (None: in an earlier process, which tells nothing of times).
        Returns the tokens of those that it has left, each as likely as it comes back to it within `keep_s`.
        """
        if number != of.current and of.current:
            of.left[of.current] = Left(of.tokens, of.since, for_new=number > of.newest)
        back = of.left.pop(number, None)
        if began is not None:
            if back is not None:
                self._resolved(back, back=began - back.since <= keep_s)
            for other, left in list(of.left.items()):
                if began - left.since > keep_s:
                    self._resolved(left, back=False)
                    del of.left[other]
        of.current, of.newest, of.tokens, of.since = number, max(number, of.newest), tokens, now
        return sum(left.tokens * self._back[left.for_new] / self._left[left.for_new] for left in of.left.values())

    def _resolved(self, left: Left, *, back: bool) -> None:
        self._left[left.for_new] += 1
        self._back[left.for_new] += back


def in_time(of: Conversations, number: int, *, began: float, keep_s: float) -> bool:
    """Whether the KV of this conversation, in which a call has begun at `began`, should have been there still."""
    if number == of.current or number > of.newest:
        return True
    left = of.left.get(number)
    return left is not None and began - left.since <= keep_s
