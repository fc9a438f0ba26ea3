"""A call that a rollout made in an earlier segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from concur_batch import records as r
from concur_batch.engine.base import Reply


@dataclass(slots=True)
class PastCall:
    """A tool call of an earlier segment; `finished` None: it was interrupted."""

    started: r.ToolStarted
    finished: r.ToolFinished | None = None


Call: TypeAlias = r.ReplyReceived | r.CallFailed | PastCall


def reply_of(x: r.ReplyReceived) -> Reply:
    """The engine's answer, as it was handed to the agent then."""
    return Reply(
        message=x.message,
        finish_reason=x.finish_reason,
        prompt_tokens=x.prompt_tokens,
        completion_tokens=x.completion_tokens,
        cached_tokens=x.cached_tokens,
        reasoning_tokens=x.reasoning_tokens,
        logprobs=x.logprobs,
    )
