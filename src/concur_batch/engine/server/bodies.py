"""What clients may send, checked once. Fields that do not matter to a simulation are accepted and ignored, as are unknown ones."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from starlette.requests import Request

from concur_batch.engine.faults import NO_JSON
from concur_batch.engine.server.problems import Problem

T = TypeVar("T")

# In any case of letters but for `user` (openai/protocol.py: ChatCompletionMessageGenericParam).
_ROLES = ("system", "assistant", "tool", "function", "developer", "latest_reminder", "root")


class Turn(msgspec.Struct, kw_only=True):
    """`concur_turn`: the turn to answer with. `rollout` and `step` name its place; without them `rid` and the conversation do."""

    content: str | None = None
    tool_calls: list[dict[str, Any]] = []  # msgspec copies it
    tokens: int | None = None
    finish_reason: str | None = None
    rollout: str | None = None
    step: int | None = None


class StreamOptions(msgspec.Struct):
    """Of OpenAI's API."""

    include_usage: bool = False


class Common(msgspec.Struct, kw_only=True):
    """What all three ways to generate take."""

    model: str = "default"
    stream: bool = False
    rid: str | None = None
    session_id: str | None = None
    priority: int | None = None


class OpenAIBody(Common, kw_only=True):
    """What both of OpenAI's endpoints take. Counts are in tokens."""

    stream_options: StreamOptions | None = None
    n: int | None = 1
    ignore_eos: bool = False
    return_cached_tokens_details: bool = False


class ChatBody(OpenAIBody, kw_only=True):
    """/v1/chat/completions."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    return_meta_info: bool = False
    concur_turn: Turn | None = None


class CompletionBody(OpenAIBody, kw_only=True):
    """/v1/completions. `prompt`: text, token ids, or a list with one of either."""

    prompt: str | list[Any]
    max_tokens: int | None = 16
    echo: bool = False


class Sampling(msgspec.Struct, kw_only=True):
    """`sampling_params` of /generate; defaults as in sampling/sampling_params.py."""

    max_new_tokens: int | None = 128
    ignore_eos: bool = False
    n: int = 1


class SessionParams(msgspec.Struct, kw_only=True):
    """Which open session the request belongs to; `rid`: which of its requests it continues, by default none."""

    id: str
    rid: str | None = None


class GenerateBody(Common, kw_only=True):
    """/generate."""

    text: str | None = None
    input_ids: list[int] | None = None
    sampling_params: Sampling = msgspec.field(default_factory=Sampling)
    session_params: SessionParams | None = None


class AbortBody(msgspec.Struct, kw_only=True):
    """/abort_request."""

    rid: str | None = None
    abort_all: bool = False


class OpenSessionBody(msgspec.Struct, kw_only=True):
    """/open_session."""

    capacity_of_str_len: int
    session_id: str | None = None


class CloseSessionBody(msgspec.Struct, kw_only=True):
    """/close_session."""

    session_id: str


class PauseBody(msgspec.Struct, kw_only=True):
    """/pause_generation."""

    mode: Literal["abort", "retract", "in_place"] = "abort"


async def read(request: Request, kind: type[T], *, json_only: bool = False) -> T:
    """The body. Raises Problem where it is no JSON, or not of this form; `json_only`: also where it is not said to be JSON."""
    media_type = request.headers.get("content-type", "").lower().partition(";")[0].strip()
    if json_only and media_type != "application/json":
        raise malformed("Unsupported Media Type: Only 'application/json' is allowed")
    try:
        return msgspec.json.decode(await request.body(), type=kind, strict=False)
    except NO_JSON as error:  # msgspec.ValidationError is one
        raise malformed(str(error)) from None


def malformed(told: str) -> Problem:
    """What does not have the right form at all."""
    return Problem(f"1 validation error:\n  {told}", kind="Bad Request")


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Raises Problem for what a chat template could not render; brings arguments of tool calls to text."""
    if not messages:
        raise Problem("Messages cannot be empty.")
    for place, message in enumerate(messages):
        role = message.get("role")
        if not isinstance(role, str) or (role != "user" and role.lower() not in _ROLES):
            raise malformed(f"('body', 'messages', {place}, 'role'): Input should be 'user' or one of {_ROLES}")
        content = message.get("content")
        if not ((content is None and role != "user") or isinstance(content, str) or _are_parts(content)):
            raise malformed(f"('body', 'messages', {place}, 'content'): Input should be a valid string or list of parts")
        calls = message.get("tool_calls")
        if not (calls is None or isinstance(calls, list)):
            raise malformed(f"('body', 'messages', {place}, 'tool_calls'): Input should be a valid list")
        for call in calls or ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise malformed(f"('body', 'messages', {place}, 'tool_calls'): each needs a function with a name")
            arguments = function.get("arguments")
            if not isinstance(arguments, str):
                function["arguments"] = msgspec.json.encode(arguments or {}).decode()


def _are_parts(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text") or "", str) for part in content
    )
