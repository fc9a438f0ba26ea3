"""Requests and replies of /v1/chat/completions, as bytes and dicts. Pure."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, Any, TypeAlias

import msgspec

from concur_batch.engine.base import Capabilities, Reply, Request
from concur_batch.engine.faults import NO_JSON
from concur_batch.task import Message, ScriptedTurn


def chat_body(request: Request, capabilities: Capabilities) -> dict[str, Any]:
    """The request body but for its `rid`. Fields that only SGLang knows (`session_id`, `priority`) go only where they are understood."""
    body: dict[str, Any] = {"model": request.model, "messages": request.messages}
    if request.tools:
        body["tools"] = request.tools
    if request.sampling:
        body.update(request.sampling)
        body.pop("stream", None)  # a stream costs ten times the CPU, and nobody here watches it
        body.pop("stream_options", None)
    if capabilities.session_close and request.session_id is not None:
        body["session_id"] = request.session_id
    if capabilities.priority and request.priority is not None:
        body["priority"] = request.priority
    if capabilities.kind == "sim" and request.turn is not None:
        body["concur_turn"] = turn_fields(request.turn) | {"rollout": request.rollout, "step": request.step}
    return body


def turn_fields(turn: ScriptedTurn) -> dict[str, Any]:
    """A scripted turn as our simulator's server reads it: what is not set is left out."""
    told = {"content": turn.content, "tokens": turn.tokens, "finish_reason": turn.finish_reason}
    fields: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if turn.tool_calls:
        fields["tool_calls"] = list(turn.tool_calls)
    return fields


# A whole number, also where a gateway writes it as 12.0. Beyond 2**53 floats are not exact, and sums outgrow the columns of our results.
_Count: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2**53, multiple_of=1)]


_ABSENT = msgspec.Raw()


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None  # some servers send it in parts
    tool_calls: list[_ToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: msgspec.Raw = _ABSENT  # what vLLM and OpenRouter call it; text where it is theirs
    refusal: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    error: Any = None  # OpenRouter: what went wrong at the server behind it
    logprobs: Any = None
    prompt_token_ids: msgspec.Raw = _ABSENT
    response_token_ids: msgspec.Raw = _ABSENT
    token_ids: msgspec.Raw = _ABSENT  # what vLLM calls those of the response


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    reasoning_tokens: _Count | None = None  # SGLang puts it here


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None
    model: str | None = None
    prompt_token_ids: msgspec.Raw = _ABSENT  # where vLLM puts them


class _WholeMessage(msgspec.Struct):
    tool_calls: list[dict[str, Any]] | None = None


class _WholeChoice(msgspec.Struct):
    message: _WholeMessage


class _WholeCalls(msgspec.Struct):
    """Tool calls with all their fields, also those that only their server knows (Gemini: `extra_content`, and wants it back)."""

    choices: list[_WholeChoice]


_decoder = msgspec.json.Decoder(_Completion)
_whole_calls = msgspec.json.Decoder(_WholeCalls)
_TokenId: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_token_ids = msgspec.json.Decoder(list[_TokenId])
_text = msgspec.json.Decoder(str)


def read_reply(body: bytes, request_id: str) -> Reply | None:
    """The reply in a chat completion; None where the bytes are not one. `finish_reason` may be `abort` or `error`: no answer."""
    try:
        completion = _decoder.decode(body)
        if not completion.choices:
            return None
    except NO_JSON:
        return None
    choice, usage = completion.choices[0], completion.usage or _NO_USAGE
    prompt_details, completion_details = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = prompt_details.cached_tokens if prompt_details is not None else None
    reasoning = usage.reasoning_tokens or (completion_details.reasoning_tokens if completion_details else None)
    finish_reason = choice.finish_reason or "stop"
    if choice.error:
        finish_reason = "error"
    elif choice.message.tool_calls and finish_reason == "stop":
        finish_reason = "tool_calls"
    return Reply(
        message=_message(choice.message, _all_calls(body) if choice.message.tool_calls else [], request_id),
        finish_reason=finish_reason,
        prompt_tokens=int(usage.prompt_tokens),
        completion_tokens=int(usage.completion_tokens),
        cached_tokens=None if cached is None else int(min(cached, usage.prompt_tokens)),
        reasoning_tokens=int(reasoning or 0),
        model=completion.model or "",
        logprobs=choice.logprobs,
        prompt_token_ids=_ids(choice.prompt_token_ids, completion.prompt_token_ids),
        response_token_ids=_ids(choice.response_token_ids, choice.token_ids),
    )


def _all_calls(body: bytes) -> list[dict[str, Any]]:
    """The tool calls of a reply with all their fields; none where one of these is beyond reading, which makes no reply unreadable."""
    with contextlib.suppress(*NO_JSON):
        return _whole_calls.decode(body).choices[0].message.tool_calls or []
    return []


def _words(told: msgspec.Raw) -> str | None:
    if told:
        with contextlib.suppress(*NO_JSON):
            return _text.decode(told)
    return None


def _ids(*told: msgspec.Raw) -> list[int] | None:
    """Of the places where a server may put them, the first that holds token ids; what else stands there makes no reply unreadable."""
    for raw in told:
        if raw:
            with contextlib.suppress(msgspec.MsgspecError):
                return _token_ids.decode(raw)
    return None


def wrong_field(body: bytes) -> str | None:
    """Which field keeps `read_reply` from reading this, and why; None where it is something else, or no single field."""
    try:
        if not _decoder.decode(body).choices:
            return "choices (there is none)"
    except msgspec.ValidationError as error:
        told = _WRONG.fullmatch(str(error))
        return None if told is None else f"{told['field']} ({_in_words(told['why'])})"
    except NO_JSON:
        field = _broken_text(body)
        return None if field is None else f"{field} (holds half of a surrogate pair, which is no character)"
    return None


_WRONG = re.compile(r"(?P<why>.*) - at `\$\.(?P<field>.*)`")


def _in_words(why: str) -> str:
    words = why.replace("`float` that's a multiple of 1.0", "a whole number").replace("`float`", "a number").replace("`", "")
    return words[0].lower() + words[1:]


def _broken_text(body: bytes) -> str | None:
    """Where in JSON that is otherwise sound a text is none that can be written."""
    try:
        left: list[tuple[str, Any]] = [("", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while left:
        field, told = left.pop()
        if isinstance(told, str):
            if not told.isascii() and _LONE.search(told):
                return field.removeprefix(".")[:_FIELD].encode("ascii", "backslashreplace").decode() or None
        elif isinstance(told, dict):
            left += [(f"{field}.{key}", value) for key, value in told.items()]
        elif isinstance(told, list):
            left += [(f"{field}[{i}]", value) for i, value in enumerate(told)]
    return None


_FIELD = 80  # characters of its name, of which a server may make up any
_LONE = re.compile("[\ud800-\udfff]")
_NO_USAGE = _Usage()


def _message(told: _Message, whole_calls: list[dict[str, Any]], request_id: str) -> Message:
    """The message as it goes back into the history, known fields only, and its tool calls with all of theirs; none is null."""
    message: Message = {"role": "assistant"}
    if told.content is not None or not told.tool_calls:
        message["content"] = told.content if told.content is not None else ""
    if told.reasoning_content:
        message["reasoning_content"] = told.reasoning_content
    for name, raw in (("reasoning", told.reasoning), ("refusal", told.refusal)):
        words = _words(raw)
        if words and words != told.reasoning_content:  # some give both names to the same
            message[name] = words
    if told.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id or f"call_{request_id}_{i}",
                "type": "function",
                "function": {"name": call.function.name or "", "arguments": _arguments(call.function.arguments)},
            }
            | {name: value for name, value in whole.items() if value is not None and name not in _WRITTEN}
            for i, (call, whole) in enumerate(zip(told.tool_calls, whole_calls or [{}] * len(told.tool_calls), strict=True))
        ]
    return message


_WRITTEN = frozenset({"id", "type", "function", "index"})  # anew; the last is for putting streams together


def _arguments(told: Any) -> str:
    if isinstance(told, str):
        return told
    return "{}" if told is None else msgspec.json.encode(told).decode()
