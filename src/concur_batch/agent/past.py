"""A call that a rollout made in an earlier segment."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from concur_batch import records as r
from concur_batch.engine.base import Reply


@dataclass(slots=True)
class PastCall:
    """A tool call of an earlier segment; `finished` None: it was interrupted."""

    started: r.ToolStarted
    finished: r.ToolFinished | None = None

    @property
    def given_up(self) -> r.ToolFinished | None:
        """How its agent gave it up, if it did."""
        return self.finished if self.finished is not None and self.finished.error_class == r.GIVEN_UP else None


Call: TypeAlias = r.ReplyReceived | r.CallFailed | PastCall


def packed(x: r.ReplyReceived) -> r.ReplyReceived:
    """The same with 4 bytes per token id in place of 36: those of all rollouts that go on are held until they do."""
    prompt, response = x.prompt_token_ids, x.response_token_ids
    if prompt is None and response is None:
        return x
    return msgspec.structs.replace(
        x, prompt_token_ids=prompt and array("i", prompt), response_token_ids=response and array("i", response)
    )


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
        prompt_token_ids=None if x.prompt_token_ids is None else list(x.prompt_token_ids),
        response_token_ids=None if x.response_token_ids is None else list(x.response_token_ids),
    )
