"""One rollout's result row, made from its records. Schema for people: `docs/results.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from concur_batch import records as r
from concur_batch.results.index import Trace
from concur_batch.results.transcript import Transcript
from concur_batch.task import Message

T = TypeVar("T")


class Usage(msgspec.Struct, kw_only=True, gc=False):
    """Tokens, summed over all model calls; None: the engine does not tell, for one of them or for all."""

    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int


class Times(msgspec.Struct, kw_only=True, gc=False):
    """Seconds."""

    admission_s: float
    paused_s: float
    queue_s: float  # before calls: others to begin with, request limit, engine away; a tool's rate, a thread
    model_s: float
    tool_s: float
    retry_s: float
    wall_s: float


class Failure(msgspec.Struct, kw_only=True, gc=False, rename={"error_class": "class"}):
    """Why a rollout has status `error`."""

    error_class: str
    message: str
    retryable: bool


class ResultRow(msgspec.Struct, kw_only=True):
    """The one row of a rollout that has ended. JSON lines hold it as it is; `columns` tells what Parquet holds as JSON text."""

    id: str
    rollout: int
    attempt: int
    status: str
    finish_reason: str | None
    output: str | None
    n_steps: int
    usage: Usage
    context_tokens: int | None  # of the last model call, its reply included; None: it had no reply, or none is told
    error: Failure | None
    times: Times
    model: str | None
    endpoint: str
    seed: int | None
    agent: str | None
    started_at: datetime | None
    finished_at: datetime | None
    messages: list[Message]
    logprobs: list[Any] | None  # per model call, in the order made; None: no call has any
    prompt_token_ids: list[Sequence[int] | None] | None  # likewise
    response_token_ids: list[Sequence[int] | None] | None
    target: Any
    metadata: dict[str, Any]

    @property
    def has_lost_messages(self) -> bool:
        """Whether there was a conversation that the journal does not tell as a whole."""
        return self.n_steps > 0 and not self.messages

    @property
    def last_reply(self) -> Message | None:
        """What the model said last; None: nothing, or it is lost. What a prompt has it say is no reply."""
        replies = (message for message in reversed(self.messages) if message.get("role") == "assistant")
        return next(replies, None) if self.n_steps else None

    @property
    def has_lost_start(self) -> bool:
        """Whether the journal does not tell its start, and so neither metadata nor target."""
        return self.started_at is None and (self.n_steps > 0 or self.status != "cancelled")  # else it never began


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a date in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def result_row(rollout: str, trace: Trace, records: Iterable[r.Record]) -> ResultRow:
    """The row of a rollout whose attempt has ended; `records` are those of `trace.positions`, in order."""
    start: r.RolloutStarted | None = None
    end: r.RolloutFinished | None = None
    model = ""
    context_tokens: int | None = None
    transcript = Transcript()
    replies: dict[int, r.ReplyReceived] = {}  # by call, which may be in the journal twice
    for record in records:
        if isinstance(record, r.ReplyReceived):
            transcript.reply(record)
            replies[record.n] = record
            context_tokens = record.prompt_tokens + record.completion_tokens or None
        elif isinstance(record, r.ToolFinished):
            transcript.observe(record)
        elif isinstance(record, r.RolloutStarted):
            model = record.model or model  # where it goes on there may be another engine, and another model
            if start is None:  # those after it say that a later segment has taken the rollout up
                start, transcript = record, Transcript(record.messages)
        elif isinstance(record, r.RolloutFinished):
            end = record
    told = [replies[n] for n in sorted(replies)]
    assert end is not None, "only rollouts with a terminal record have a row"
    return ResultRow(
        id=start.task if start else rollout.rsplit("#", 1)[0],
        rollout=trace.k,
        attempt=end.attempt,
        status=end.status,
        finish_reason=end.finish_reason,
        output=end.output,
        n_steps=end.n_steps,
        usage=_usage(end, told),
        context_tokens=context_tokens,
        error=_failure(end),
        times=_times(end),
        model=model or None,
        endpoint=end.engine,
        seed=start.seed if start else None,
        agent=start.agent if start else None,
        started_at=moment(trace.started),
        finished_at=moment(trace.finished),
        messages=transcript.messages if transcript.is_whole(end.n_steps) else [],  # a part would look like a whole one
        logprobs=_per_call([one.logprobs for one in told]),
        prompt_token_ids=_per_call([one.prompt_token_ids for one in told]),
        response_token_ids=_per_call([one.response_token_ids for one in told]),
        target=start.target if start else None,
        metadata=start.metadata if start else {},
    )


def _per_call(found: list[T]) -> list[T] | None:
    return found if any(one is not None for one in found) else None


def _usage(end: r.RolloutFinished, replies: list[r.ReplyReceived]) -> Usage:
    """Sums that leave a reply out would look like whole ones. No prompt is empty: without a token a reply was not counted."""
    untold = any(sums.prompt_tokens == sums.completion_tokens == 0 for sums in (*replies, *([end] if end.n_steps else ())))
    return Usage(
        prompt_tokens=None if untold else end.prompt_tokens,
        cached_tokens=None if untold else end.cached_tokens,
        completion_tokens=None if untold else end.completion_tokens,
        reasoning_tokens=end.reasoning_tokens,
    )


def _times(end: r.RolloutFinished) -> Times:
    return Times(
        admission_s=end.admission_s,
        paused_s=end.paused_s,
        queue_s=end.wait_s,
        model_s=end.model_s,
        tool_s=end.tool_s,
        retry_s=end.retry_s,
        wall_s=end.wall_s,
    )


def _failure(end: r.RolloutFinished) -> Failure | None:
    error = end.error
    if error is None:
        return None
    return Failure(error_class=error.error_class, message=error.message, retryable=error.retryable)
