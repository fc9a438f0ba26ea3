"""How much KV an agent with several conversations needs. Pure.

An agent may begin a conversation beside the one that it has, of a sub-agent or a judge, and come back to it; or begin anew from a summary,
and never come back. What it comes back to within the time for which KV is worth keeping (break-even, `control.patience`) has its place in
the pool; what it comes back to later is cheaper to compute again. Which of it agents do is learned from all of an engine together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 64  # of one agent
_PRIOR = 2.0  # conversations, half of which are come back to


@dataclass(slots=True, eq=False)
class _Conversation:
    """Idle when no call in it is under way and its agent has been in another one since."""

    tokens: int = 0  # as of its last reply, without what all agents share
    used: float = 0.0  # when a call in it began or ended last, in seconds of the engine's clock
    calls: int = 0  # under way
    heard: bool = False  # there has been a reply in it
    for_new: bool = False  # it was left for one that began then; False: for one that was there before


@dataclass(slots=True, eq=False)
class Conversations:
    """Those of one agent that it is in or may come back to in time, by number."""

    of: dict[int, _Conversation] = field(default_factory=dict)
    last: int = 0  # in which a call began or ended last; 0: there was none
    newest: int = 0
    told: float = 0.0  # tokens of all, as of the last reply


class Returns:
    """How many of the conversations that are left are come back to in time; apart for those left for a new one, as their fate is another."""

    def __init__(self) -> None:
        self._left = {True: _PRIOR, False: _PRIOR}
        self._back = {True: _PRIOR / 2, False: _PRIOR / 2}

    def began(self, mine: Conversations, number: int, now: float, keep_s: float) -> bool:
        """A call in this conversation. Whether its KV should be there still, if it is not new: whatever its agent is in, or has left for no
        longer than `keep_s`.
        """
        is_new, there = number > mine.newest, mine.of.get(number)
        kept = is_new or (there is not None and (number == mine.last or there.calls > 0 or now - there.used <= keep_s))
        if there is None:
            there = mine.of[number] = _Conversation()
        elif not there.calls and number != mine.last:
            self._resolved(there, back=kept)
        self._turn(mine, number, for_new=is_new)
        there.calls, there.used = there.calls + 1, now
        for other, one in list(mine.of.items()):
            if other != number and not one.calls and (now - one.used > keep_s or len(mine.of) > _MOST):
                self._resolved(one, back=False)
                del mine.of[other]
        return kept

    def ended(self, mine: Conversations, number: int, now: float) -> None:
        """A call in it is over, whether it has been answered or not."""
        there = mine.of[number]
        there.calls, there.used = there.calls - 1, now
        self._turn(mine, number, for_new=False)

    def told(self, mine: Conversations, number: int, now: float, tokens: int) -> int | None:
        """A reply has told its context; perhaps one to a call of an earlier process, which has not begun here. Returns what it has grown by
        since the reply before. None: there was none.
        """
        there = mine.of.setdefault(number, _Conversation())
        grown = tokens - there.tokens if there.heard else None
        there.tokens, there.used, there.heard = tokens, now, True
        self._turn(mine, number, for_new=number > mine.newest)
        return grown

    def tokens(self, mine: Conversations) -> float:
        """Of all that it is in, and of the others as likely as it comes back to them in time."""
        return sum(
            one.tokens * (1.0 if one.calls or number == mine.last else self._back[one.for_new] / self._left[one.for_new])
            for number, one in mine.of.items()
        )

    def _turn(self, mine: Conversations, number: int, *, for_new: bool) -> None:
        before = mine.of.get(mine.last)
        if before is not None and number != mine.last:
            before.for_new = for_new
        mine.last, mine.newest = number, max(number, mine.newest)

    def _resolved(self, one: _Conversation, *, back: bool) -> None:
        self._left[one.for_new] += 1
        self._back[one.for_new] += back
