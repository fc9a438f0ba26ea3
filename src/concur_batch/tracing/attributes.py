"""Records as span attributes: OpenTelemetry's conventions for generative AI, and `concur.*` for what they have no name for.

No content: neither messages, nor arguments, observations or error texts.
"""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

from concur_batch import records as r

Attributes: TypeAlias = dict[str, str | bool | int | float | list[str]]


def of_engine(engine: str, kind: str) -> Attributes:
    """Who serves the model."""
    found: Attributes = {"gen_ai.provider.name": kind or "openai", "concur.engine": engine}
    url = urlsplit(engine)
    if url.scheme in ("http", "https") and url.hostname:
        found |= {"server.address": url.hostname, "server.port": url.port or (443 if url.scheme == "https" else 80)}
    return found


def of_rollout(x: r.RolloutStarted) -> Attributes:
    """What is known when it starts."""
    found: Attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": x.agent,
        "gen_ai.conversation.id": x.rollout,
        "gen_ai.request.seed": x.seed,
        "concur.task": x.task,
        "concur.rollout": x.k,
        "concur.attempt": x.attempt,
        "concur.resumed": x.resumed,
    }
    return found | _model(x.model)


def of_end(x: r.RolloutFinished) -> Attributes:
    """Sums over the whole rollout, also over earlier processes."""
    found: Attributes = {
        "concur.status": x.status,
        "concur.steps": x.n_steps,
        "gen_ai.usage.input_tokens": x.prompt_tokens,
        "gen_ai.usage.output_tokens": x.completion_tokens,
        "concur.paused_seconds": x.paused_s,
    }
    if x.cached_tokens is not None:
        found["gen_ai.usage.cache_read.input_tokens"] = x.cached_tokens
    if x.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [x.finish_reason]
    return found


def of_call(rollout: str, step: int, model: str) -> Attributes:
    """What is known of a model call before its reply."""
    found: Attributes = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": rollout, "concur.step": step}
    return found | _model(model)


def of_reply(x: r.ReplyReceived) -> Attributes:
    """The reply's own figures."""
    found: Attributes = {
        "gen_ai.usage.input_tokens": x.prompt_tokens,
        "gen_ai.usage.output_tokens": x.completion_tokens,
        "gen_ai.response.finish_reasons": [x.finish_reason],
        "concur.history_tokens": x.history_tokens,
        "concur.wait_seconds": x.wait_s,
        "concur.after_pause": x.after_pause,
    }
    if x.cached_tokens is not None:
        found["gen_ai.usage.cache_read.input_tokens"] = x.cached_tokens
    if x.missed_tokens is not None:
        found["concur.missed_tokens"] = x.missed_tokens
    if x.reasoning_tokens:
        found["gen_ai.usage.reasoning.output_tokens"] = x.reasoning_tokens
    return found | of_retries(x)


def of_retries(x: r.ReplyReceived | r.CallFailed) -> Attributes:
    """What it took, where one attempt was not enough."""
    return {"concur.retries": x.retries, "concur.retry_seconds": x.retry_s} if x.retries else {}


def of_tool(x: r.ToolStarted | r.ToolFinished) -> Attributes:
    """A tool call."""
    found: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": x.tool,
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": x.rollout,
        "concur.step": x.step,
    }
    if x.call_id is not None:
        found["gen_ai.tool.call.id"] = x.call_id
    return found


def _model(name: str) -> Attributes:
    return {"gen_ai.request.model": name} if name else {}
