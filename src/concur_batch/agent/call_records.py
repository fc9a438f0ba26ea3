"""What an agent's calls look like in the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from concur_batch import records as r
from concur_batch.agent.requests import Extension
from concur_batch.engine.base import Request
from concur_batch.errors import ContextLengthExceeded, EngineError
from concur_batch.lane import Completed
from concur_batch.task import Message
from concur_batch.toolbox.base import ToolOutput

INTERRUPTED = (
    "[interrupted: the runner was stopped while this call ran. It is not known whether it took effect; it was not run again.]"
)


class Observation(NamedTuple):
    """What a tool call came to, as the model sees it."""

    content: str
    ok: bool
    message: Message  # ready to be appended: role tool where a call_id was given, else role user


def replied(
    done: Completed, request: Request, talk: Extension, *, t: float, engine: str, key: str, unforced: bool
) -> r.ReplyReceived:
    """`unforced`: what it missed speaks about the limit."""
    reply = done.reply
    cached = reply.cached_tokens
    return r.ReplyReceived(
        t=t,
        rollout=request.rollout,
        engine=engine,
        step=request.step,
        n=request.n,
        hash=key,
        after=talk.after,
        base=talk.base,
        new=talk.new,
        message=reply.message,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cached_tokens=cached,
        reasoning_tokens=reply.reasoning_tokens,
        history_tokens=talk.history_tokens,
        missed_tokens=None if cached is None else max(0, talk.history_tokens - cached),
        after_pause=not unforced,
        model_s=round(done.model_s, 6),
        wait_s=round(done.wait_s, 6),
        retries=done.retries,
        retry_s=round(done.retry_s, 6),
        logprobs=reply.logprobs,
        prompt_token_ids=reply.prompt_token_ids,
        response_token_ids=reply.response_token_ids,
        model=_other_model(request),
    )


def failed(error: EngineError, request: Request, *, t: float, engine: str, key: str) -> r.CallFailed:
    """A model call that was given up."""
    return r.CallFailed(
        t=t,
        rollout=request.rollout,
        engine=engine,
        step=request.step,
        n=request.n,
        hash=key,
        error=type(error).__name__,
        message=str(error),
        wait_s=round(error.wait_s, 6),
        retries=error.retries,
        retry_s=round(error.retry_s, 6),
        model=_other_model(request),
    )


def _other_model(request: Request) -> str:
    asked = request.sampling.get("model")
    return asked if isinstance(asked, str) and asked != request.model else ""


def no_room(engine: str, prompt_tokens: int, most: int | None) -> ContextLengthExceeded:
    """The error of a model call that is not made, as the engine could only refuse it."""
    return ContextLengthExceeded(
        f"{engine}: a prompt of {prompt_tokens:,} tokens is longer than the model's context or the KV pool allow ({most:,} tokens)"
    )


def observed(output: ToolOutput, started: r.ToolStarted, t: float) -> r.ToolFinished:
    """A tool call that came back, or was interrupted."""
    return r.ToolFinished(
        t=t,
        rollout=started.rollout,
        step=started.step,
        n=started.n,
        tool=started.tool,
        output=output.content,
        ok=output.ok,
        error_class=output.error_class,
        seconds=round(max(0.0, t - started.t - output.wait_s), 6),
        wait_s=round(output.wait_s, 6),
        repaired=output.repaired,
        truncated=output.truncated,
        call_id=started.call_id,
        message=None if started.call_id is not None else {"role": "user", "content": output.content},
    )


def message_of(x: r.ToolFinished, call_id: str | None) -> Message:
    """By which its output enters the conversation."""
    if call_id is None:
        return {"role": "user", "content": x.output}
    return {"role": "tool", "tool_call_id": call_id, "content": x.output}


async def refused(offered: Iterable[str], name: str, arguments: str | dict[str, Any]) -> ToolOutput:  # noqa: ARG001 - stands in for a call
    """What the model is told of a tool that it was not offered."""
    known = ", ".join(sorted(offered)) or "none"
    return ToolOutput(content=f"There is no tool `{name}`. The tools are: {known}.", ok=False, error_class="input")


def interrupted() -> ToolOutput:
    """What the model is told of a tool call that an earlier segment began, and that must not be made twice."""
    return ToolOutput(content=INTERRUPTED, ok=False, error_class="interrupted")


def given_up(started: r.ToolStarted, t: float) -> r.ToolFinished:
    """A tool call that its agent cancelled."""
    content = "[given up: the agent cancelled this call while it ran. It is not known whether it took effect.]"
    return observed(ToolOutput(content=content, ok=False, error_class=r.GIVEN_UP), started, t)
