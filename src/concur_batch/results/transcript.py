"""Put a rollout's conversation together again from the pieces that the journal keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
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

    Agents may have several calls in flight and several conversations, so each reply says which one it goes on from.
    """

    def __init__(self, prompt: Iterable[Message] = ()) -> None:
        self._prompt = list(prompt)
        self._calls: dict[int, Message] = {}
        self._turns: dict[int, _Turn] = {}

    def reply(self, record: r.ReplyReceived) -> None:
        """A model call came to its end."""
        self._check(record)
        own = [self._calls[new] if isinstance(new, int) else new for new in record.new]
        own.append(record.message)
        self._calls[record.n] = record.message
        self._turns[record.n] = _Turn(record.after, record.base, own, record.base + len(own))

    def observe(self, record: r.ToolFinished) -> None:
        """A tool call came to its end."""
        self._calls[record.n] = observation(record)

    def _check(self, record: r.ReplyReceived) -> None:
        lost = [f"call {new}" for new in record.new if isinstance(new, int) and new not in self._calls]
        if record.after and record.after not in self._turns:
            lost.append(f"call {record.after}")
        elif record.base > (self._turns[record.after].length if record.after else len(self._prompt)):
            lost.append(f"message {record.base}")
        if lost:
            raise RunDirectoryError(
                f"the journal is damaged: step {record.step} of rollout {record.rollout} refers to {lost[0]}, "
                f"which is not in it; restore the journal from a copy, or run the job again in a new directory"
            )

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
