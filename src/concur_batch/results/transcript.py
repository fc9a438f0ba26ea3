"""Put a rollout's conversation together again from the pieces that the journal keeps."""

from __future__ import annotations

from collections.abc import Iterable

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.task import Message


def observation(record: r.ToolFinished) -> Message:
    """The message by which a tool's output enters the conversation."""
    if record.message is not None:
        return record.message
    return {"role": "tool", "tool_call_id": record.call_id, "content": record.output}


class Transcript:
    """`reply` and `observe` in journal order, `resume` where a later segment took the rollout up; `messages` at the end.

    Agents may have several calls in flight, so the reply recorded last need not be of the call made last.
    """

    def __init__(self, prompt: Iterable[Message] = ()) -> None:
        self._calls: dict[int, Message] = {}
        self._newest = list(prompt)  # request and reply of the call recorded last: what `base` counts in
        self._latest = self._newest  # the same of the call made last
        self._latest_n = 0

    def reply(self, record: r.ReplyReceived) -> None:
        """A model call came to its end."""
        self._check(record)
        conversation = self._newest
        if conversation is self._latest and record.n < self._latest_n:
            conversation = list(conversation)
        del conversation[record.base :]
        conversation.extend(self._calls[new] if isinstance(new, int) else new for new in record.new)
        conversation.append(record.message)
        self._calls[record.n] = record.message
        self._newest = conversation
        if record.n > self._latest_n:
            self._latest, self._latest_n = conversation, record.n

    def observe(self, record: r.ToolFinished) -> None:
        """A tool call came to its end."""
        self._calls[record.n] = observation(record)

    def resume(self) -> None:
        """The agent ran again up to here, which takes its recorded calls in the order made."""
        self._newest = self._latest

    def _check(self, record: r.ReplyReceived) -> None:
        lost = [f"call {new}" for new in record.new if isinstance(new, int) and new not in self._calls]
        if record.base > len(self._newest):
            lost.append(f"message {record.base}")
        if lost:
            raise RunDirectoryError(
                f"the journal is damaged: step {record.step} of rollout {record.rollout} refers to {lost[0]}, "
                f"which is not in it; restore the journal from a copy, or run the job again in a new directory"
            )

    @property
    def messages(self) -> list[Message]:
        """Request and reply of the model call made last, and the observations of calls made after it, in call order."""
        return [*self._latest, *(self._calls[n] for n in sorted(self._calls) if n > self._latest_n)]
