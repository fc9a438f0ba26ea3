"""Put a rollout's conversation together again from the pieces that the journal keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from concur_batch import records as r
from concur_batch.task import Message


def observation(record: r.ToolFinished) -> Message:
    """The message by which a tool's output enters the conversation."""
    if record.message is not None:
        return record.message
    return {"role": "tool", "tool_call_id": record.call_id, "content": record.output}


class _Turn(NamedTuple):
    """What one model call adds to the conversation that it goes on from."""

    after: int
    base: int
    own: list[Message]  # what is new in the request, and the reply
    length: int  # of the whole conversation


class Transcript:
    """`reply` and `observe` in journal order; `messages` at the end.

    Agents may have several calls in flight and several conversations, so each reply says which one it goes on from. A reply that
    goes on from what is not there, since a damaged line was taken out of the journal, is left out: resume made it again, or
    the transcript is not whole.
    """

    def __init__(self, prompt: Iterable[Message] = ()) -> None:
        self._prompt = list(prompt)
        self._calls: dict[int, Message] = {}
        self._turns: dict[int, _Turn] = {}
        self._latest = 0  # the model call made last

    def reply(self, record: r.ReplyReceived) -> None:
        """A model call came to its end."""
        self._latest = max(self._latest, record.n)
        if not self._has_basis(record):
            return
        own = [self._calls[new] if isinstance(new, int) else new for new in record.new]
        own.append(record.message)
        self._calls[record.n] = record.message
        self._turns[record.n] = _Turn(_goes_on_from(record), record.base, own, record.base + len(own))

    def observe(self, record: r.ToolFinished) -> None:
        """A tool call came to its end. One that the agent gave up has no message."""
        if record.error_class != r.GIVEN_UP:
            self._calls[record.n] = observation(record)

    def _has_basis(self, record: r.ReplyReceived) -> bool:
        """Whether all is there that it refers to."""
        if any(isinstance(new, int) and new not in self._calls for new in record.new):
            return False
        after = _goes_on_from(record)
        if not after:
            return record.base <= len(self._prompt)
        turn = self._turns.get(after)
        return turn is not None and record.base <= turn.length

    def is_whole(self, steps: int) -> bool:
        """Whether it goes back from the model call made last to the prompt, and so many replies are there as were received."""
        return (not self._latest or self._latest in self._turns) and len(self._turns) >= steps

    @property
    def messages(self) -> list[Message]:
        """Request and reply of the model call made last, and the observations of calls made after it, in call order."""
        latest = max(self._turns, default=0)
        chain, n = [], latest
        while n:
            chain.append(self._turns[n])
            n = self._turns[n].after
        conversation = list(self._prompt)
        for turn in reversed(chain):
            conversation[turn.base :] = turn.own
        return [*conversation, *(self._calls[n] for n in sorted(self._calls) if n > latest)]


def _goes_on_from(record: r.ReplyReceived) -> int:
    """The call whose conversation is needed; 0: none, also where nothing of it stands."""
    return record.after if record.base else 0
