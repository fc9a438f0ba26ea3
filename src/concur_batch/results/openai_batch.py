"""A result row as a line of an OpenAI batch's output file."""

from __future__ import annotations

from typing import Any

from concur_batch.results.rows import ResultRow, Usage
from concur_batch.results.spoken import said_in
from concur_batch.task import Message, rollout_id


def batch_line(row: ResultRow) -> dict[str, Any]:
    """`{id, custom_id, response, error}`; exactly one of the last two is null.

    A limit reached is a response, as with OpenAI's own `finish_reason: "length"`. There is one line per rollout: those of
    one task share `custom_id` and differ in `id`.
    """
    name = rollout_id(row.id, row.rollout)
    answer = _answer(row)
    line: dict[str, Any] = {"id": f"batch_req_{name}", "custom_id": row.id, "response": None, "error": None}
    if row.error is not None:
        line["error"] = {"code": row.error.error_class, "message": row.error.message}
    elif answer is None or row.status == "cancelled":
        line["error"] = {"code": row.status, "message": f"the rollout ended as {row.status} without an answer"}
    else:
        line["response"] = {"status_code": 200, "request_id": name, "body": _body(row, name, answer)}
    return line


def _answer(row: ResultRow) -> Message | None:
    """The last reply, without the tool calls that have been run already."""
    last = row.last_reply
    if last is None and row.output is None:
        return None
    kept = {key: value for key, value in (last or {}).items() if key != "tool_calls"}
    content = row.output if row.output is not None else kept.get("content")
    if content and content == kept.get("refusal"):
        content = None  # as with OpenAI
    return {**kept, "role": "assistant", "content": content}


def _body(row: ResultRow, name: str, answer: Message) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": int(row.finished_at.timestamp()) if row.finished_at else 0,
        "model": row.model or "",
        "choices": [{"index": 0, "message": answer, "logprobs": _logprobs(row), "finish_reason": _finish_reason(row)}],
        "usage": _usage(row.usage),
        "concur": {"status": row.status, "rollout": row.rollout, "n_steps": row.n_steps},
    }


def _usage(usage: Usage) -> dict[str, Any] | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _logprobs(row: ResultRow) -> Any:
    """Those of the last reply, as long as the answer is what it said and not something that the agent made of it."""
    last = row.last_reply
    if last is None or not row.logprobs or row.output not in (None, said_in(last)):
        return None
    return row.logprobs[-1]


def _finish_reason(row: ResultRow) -> str:
    if row.status != "completed":
        return "length"
    return row.finish_reason if row.finish_reason in ("length", "content_filter") else "stop"
