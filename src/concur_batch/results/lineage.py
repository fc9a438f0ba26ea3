"""Where each model call of a rollout takes its conversation from, as a reader of the calls in their order has to know. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from concur_batch import records as r


def held(records: Iterable[r.Record]) -> list[r.Record]:
    """The same to be read more than once: without tokens, as the ids of the whole prompt with every call of a long rollout fill the memory."""
    tokens = dict.fromkeys(("logprobs", "prompt_token_ids", "response_token_ids"))
    return [replace(record, **tokens) if isinstance(record, r.ReplyReceived) else record for record in records]


class Lineage:
    """Of one rollout's `records`, in order. Ask `note` for each reply in the same order."""

    def __init__(self, records: Iterable[r.Record]) -> None:
        self._lengths: dict[int, int] = {}  # messages of a call's conversation: request and reply
        self._last = 0
        self._named = set[int]()
        last = 0
        for reply in records:
            if isinstance(reply, r.ReplyReceived):
                if (after := _after(reply)) != last:
                    self._named.add(after)
                last = reply.n

    def is_named(self, n: int) -> bool:
        """Whether a note speaks of this call by its number."""
        return n in self._named

    def note(self, reply: r.ReplyReceived) -> str:
        """Where it goes on from. Empty: from the reply before, with all that was said."""
        after, sent = _after(reply), reply.base + len(reply.new)
        told = []
        if after != self._last:
            told.append(f"goes on from call {after}" if after else "another conversation")
        if after and reply.base < self._lengths.get(after, 0):
            told.append(f"history rewritten: {sent} message{'s' * (sent != 1)} sent, the first {reply.base} as before")
        self._last = reply.n
        self._lengths[reply.n] = sent + 1
        return "; ".join(told)


def _after(reply: r.ReplyReceived) -> int:
    """The call whose conversation it goes on from; 0: none."""
    return reply.after if reply.base else 0
