"""What a rollout's limits leave for its next reply, and whether one of them has been reached. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from concur_batch import records as r
from concur_batch.agent.setting import Spent
from concur_batch.task import Limits

_MOST_TOKENS = ("max_tokens", "max_completion_tokens")  # the second is OpenAI's newer name


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits on steps and tokens, held against what has been spent."""

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

    def bounded(self, sampling: dict[str, Any], known_tokens: int, model_tokens: int | None) -> dict[str, Any]:
        """The sampling, asking for no more tokens than are left. `known_tokens`: so many the prompt has at least.

        Where the model's context ends sooner than the limits nothing is asked for: the engine knows best what fits into it, and
        refuses what does not.
        """
        said = {name: most for name in _MOST_TOKENS if isinstance(most := sampling.get(name), int | float) and most > 0}
        left = self._left(known_tokens)
        if left is not None and (model_tokens is None or left < model_tokens - known_tokens):
            said = {name: min(most, left) for name, most in said.items()} or {_MOST_TOKENS[0]: left}
        elif model_tokens is not None:
            said = {name: min(most, model_tokens - 1) for name, most in said.items()}
        return {**sampling, **said} if said else sampling

    def _left(self, known_tokens: int) -> int | None:
        limits, left = self.limits, []
        if limits.max_output_tokens is not None:
            left.append(limits.max_output_tokens - self.spent.completion_tokens)
        if limits.context_length is not None:
            left.append(limits.context_length - known_tokens)
        return max(1, min(left)) if left else None

    def ended(self, x: r.ReplyReceived) -> str | None:
        """The status to end with on this reply, which has been spent: it was cut off and a limit is used up, so that there
        cannot be more of it; or its prompt has turned out to be too long.
        """
        limits, is_cut = self.limits, x.finish_reason == "length"
        if is_cut and limits.max_output_tokens is not None and self.spent.completion_tokens >= limits.max_output_tokens:
            return "token_budget"
        most, context_tokens = limits.context_length, x.prompt_tokens + (x.completion_tokens if is_cut else 0)
        return "context_length" if most is not None and context_tokens >= most else None
