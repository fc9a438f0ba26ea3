"""What a rollout's limits leave for its next reply, and whether one of them has been reached. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from concur_batch import records as r
from concur_batch.agent.setting import Spent
from concur_batch.task import Limits

_MOST_TOKENS = ("max_tokens", "max_completion_tokens")  # the second is OpenAI's newer name


def most_tokens(sampling: dict[str, Any]) -> float | None:
    """So many the sampling lets a reply have; None: it does not say."""
    return min(_said(sampling).values(), default=None)


def _said(sampling: dict[str, Any]) -> dict[str, float]:
    return {name: most for name in _MOST_TOKENS if isinstance(most := sampling.get(name), int | float) and most > 0}


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits on steps and tokens, held against what has been spent: by all replies that the journal has."""

    limits: Limits
    spent: Spent

    def reached(self, context_tokens: int, model_tokens: int | None) -> str | None:
        """The status to end with before another call. `context_tokens`: of the conversation, as far as it has been counted;
        `model_tokens`: what the model can hold.
        """
        limits, spent = self.limits, self.spent
        if limits.max_steps is not None and spent.steps >= limits.max_steps:
            return "max_steps"
        if limits.max_output_tokens is not None and spent.completion_tokens >= limits.max_output_tokens:
            return "token_budget"
        if limits.max_total_tokens is not None and spent.prompt_tokens + spent.completion_tokens >= limits.max_total_tokens:
            return "token_budget"
        most = limits.context_length or model_tokens
        return "context_length" if most is not None and context_tokens >= most else None

    def may_be_full(self, under_way: int) -> bool:
        """Whether another call may be a step too many: it is, unless one of those under way fails."""
        return self.limits.max_steps is not None and self.spent.steps + under_way >= self.limits.max_steps

    @property
    def bounds_replies(self) -> bool:
        """Whether a reply may be cut off by the limits, or be the last for what they count."""
        return self.limits.max_output_tokens is not None or self.limits.context_length is not None

    def bounded(self, sampling: dict[str, Any], known_tokens: int, model_tokens: int | None) -> dict[str, Any]:
        """The sampling, asking for no more tokens than are left; the same object where nothing is to be said. `known_tokens`: so
        many the prompt has at least; 0: it has not been counted.

        Where the model's context ends sooner than the limits nothing is asked for: the engine knows best what fits into it, and
        refuses what does not. For the same reason `context_length` alone makes up no bound before both are known.
        """
        of_output, of_context = self._left(known_tokens)
        said = _said(sampling)
        if not said:
            room = math.inf if model_tokens is None else model_tokens - known_tokens
            is_known = known_tokens > 0 and model_tokens is not None
            if not (of_output < room or (is_known and of_context < room)):
                return sampling
            said = {_MOST_TOKENS[0]: min(of_output, of_context)}
        most = min(of_output, of_context, math.inf if model_tokens is None else model_tokens - 1)
        return {**sampling, **{name: max(1, min(asked, most)) for name, asked in said.items()}}

    def _left(self, known_tokens: int) -> tuple[float, float]:
        limits = self.limits
        of_output, of_context = limits.max_output_tokens, limits.context_length
        return (
            math.inf if of_output is None else of_output - self.spent.completion_tokens,
            math.inf if of_context is None else of_context - known_tokens,
        )

    def ended(self, x: r.ReplyReceived, sampling: dict[str, Any]) -> str | None:
        """The status to end with on this reply, which has been spent: it was cut off before it had what the `sampling` asks
        for and a limit is used up, so that there cannot be more of it; or its prompt has turned out to be too long.
        """
        if not self.bounds_replies:
            return None
        limits, asked = self.limits, most_tokens(sampling)
        is_cut = x.finish_reason == "length" and (asked is None or x.completion_tokens < asked)
        if is_cut and limits.max_output_tokens is not None and self.spent.completion_tokens >= limits.max_output_tokens:
            return "token_budget"
        most, context_tokens = limits.context_length, x.prompt_tokens + (x.completion_tokens if is_cut else 0)
        return "context_length" if most is not None and context_tokens >= most else None
