"""A journal in memory, and a writer of stories for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from concur_batch import records as r

EPOCH = 1_700_000_000.0


class ListJournal:
    """Lines as on disk; positions are not line numbers, so that nobody counts on it."""

    def __init__(self, records: Iterable[r.Record]) -> None:
        self.lines = [r.encoder.encode(record) for record in records]

    def positioned(self) -> Iterator[tuple[int, r.Record]]:
        return ((1_000 + 7 * i, r.decoder.decode(line)) for i, line in enumerate(self.lines))

    def at(self, position: int) -> r.Record:
        return r.decoder.decode(self.lines[(position - 1_000) // 7])


def segment(epoch: float = EPOCH, **fields) -> r.SegmentStarted:
    return r.SegmentStarted(t=0.0, epoch=epoch, host="h", pid=1, version="0", **fields)


def start(rollout: str, index: int = 0, t: float = 1.0, **fields) -> r.RolloutStarted:
    task, k = rollout.rsplit("#", 1)
    fields = {"model": "m", "seed": 7, "messages": [{"role": "user", "content": f"go {task}"}]} | fields
    return r.RolloutStarted(t=t, rollout=rollout, engine="e", task=task, k=int(k), index=index, **fields)


def reply(rollout: str, n: int, base: int, new=(), *, content: str = "", calls=(), **fields) -> r.ReplyReceived:
    message = {"role": "assistant", "content": content or f"reply {n}"}
    if calls:
        message["tool_calls"] = [{"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call in calls]
    fields = {"t": 2.0, "step": n, "prompt_tokens": 10, "completion_tokens": 2, "finish_reason": "stop"} | fields
    return r.ReplyReceived(rollout=rollout, engine="e", n=n, hash="h", base=base, new=list(new), message=message, **fields)


def tool(rollout: str, n: int, output: str = "seen", **fields) -> r.ToolFinished:
    return r.ToolFinished(**({"t": 3.0, "rollout": rollout, "step": 1, "n": n, "tool": "f", "output": output} | fields))


def end(rollout: str, status: str = "completed", t: float = 4.0, **fields) -> r.RolloutFinished:
    return r.RolloutFinished(t=t, rollout=rollout, engine="e", status=status, **fields)


def short_life(rollout: str, index: int = 0, status: str = "completed", **fields) -> list[r.Record]:
    """One prompt, one reply, the end."""
    return [
        start(rollout, index),
        reply(rollout, 1, base=1),
        end(rollout, status, finish_reason="stop", **{"n_steps": 1, **fields}),
    ]
