"""What an answer that is no reply means: pure functions from status, headers and body to an error of our tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineError, EngineFailed, EngineRefused

# What msgspec raises for bytes that are no JSON or not the JSON asked for, not UTF-8, or nested too deeply.
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_BUSY = {429, 503, 529}
_UNFIT = {400, 413, 422}
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}  # OpenAI; llama.cpp
_CONTEXT = re.compile(
    r"context length|context window|context size|maximum model length"
    r"|input length.{0,40}exceeds the maximum allowed length",  # SGLang, also where the KV pool is what cannot hold it
    re.IGNORECASE,
)
_CONTEXT_TOKENS = re.compile(r"maximum context length (?:is|of) (\d+)")
_PROMPT_TOKENS = re.compile(r"(at least )?(\d+) (?:tokens from the input|in (?:the|your) (?:messages|prompt)|input tokens)")
_MOST_COMPLETION_TOKENS = re.compile(r"is too large: \d+\. ?This model supports at most (\d+) completion tokens")
# vLLM, in two forms: one of a prompt that it has cut to the longest that would fit, and a token; one of any prompt at all.
_LONGEST_PROMPT = re.compile(r"context length is only (\d+) tokens, resulting in a maximum input length of (\d+) tokens")
_MORE_THAN_CONTEXT = re.compile(r"max_\w*tokens=\d+ ?cannot be greater than \w+=(?:\w+=)?(\d+)")
_LENGTH = re.compile(r"max_\w*tokens|context", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*([^<]{1,80})", re.IGNORECASE)


def fault(status: int, headers: Mapping[str, str], body: bytes, where: str) -> EngineError:
    """The error that a status other than 2xx stands for. `where` opens its text."""
    told, code = _told(body)
    text = f"{where}: HTTP {status}: {told}"
    if status in _BUSY and code != "insufficient_quota":
        return EngineBusy(text, retry_after(headers))
    if status >= 500 or status == 408:
        return EngineFailed(text)
    if 300 <= status < 400:
        return EngineRefused(f"{where}: redirects to {headers.get('location', 'elsewhere')}: give that address as the engine")
    if status in _UNFIT and (code in _CONTEXT_CODES or _CONTEXT.search(told)):
        return ContextLengthExceeded(text)
    if status == 400 and "duplicate request id" in told.lower():
        return EngineBusy(text)  # the earlier request still runs; the next attempt has an id of its own
    if status in (401, 403):
        text += " (set CONCUR_API_KEY, SGLANG_API_KEY or OPENAI_API_KEY)"
    return EngineRefused(text)


def unreadable(body: bytes, where: str, expected: str, wrong: str | None = None) -> EngineFailed:
    """The error for a reply that came with a good status but is not what was asked for. `wrong`: the field that is to blame."""
    if wrong is not None:
        return EngineFailed(f"{where}: expected {expected}, but got one that cannot be read for its {wrong}")
    return EngineFailed(f"{where}: expected {expected}, but got {describe(body)}")


def failure_told(body: bytes, where: str) -> EngineError | None:
    """The error that a reply with a good status tells, of itself or of its choice; None where it tells none.

    Routers such as OpenRouter pass on so what went wrong behind them.
    """
    try:
        data: Any = msgspec.json.decode(body)
    except NO_JSON:
        return None
    choices = data.get("choices") if isinstance(data, dict) else None
    for holder in (data, choices[0] if isinstance(choices, list) and choices else None):
        error = holder.get("error") if isinstance(holder, dict) else None
        if error:
            said = _said({"error": error})
            text = f"{where}: a reply that ends in an error: {said[0] if said else describe(body)}"
            code = error.get("code") if isinstance(error, dict) else None
            return EngineBusy(text) if str(code) in map(str, _BUSY) else EngineFailed(text)
    return None


def room_for_completion(body: bytes, *, guess: bool = True) -> int | None:
    """`max_tokens` that would have fitted, where the prompt does and only prompt + completion does not; else None. Where the
    completion alone is too long, as much as the server gives to any prompt.

    Understands SGLang, vLLM (old and new) and OpenAI. vLLM may stop counting at the limit ("at least"), or not count at all: then
    half of what seems left is offered, since the true prompt may be longer; not so where no `guess` is wanted.
    """
    told, _ = _told(body)
    if (most := _MOST_COMPLETION_TOKENS.search(told)) is not None:
        return int(most[1]) or None
    if (longest := _LONGEST_PROMPT.search(told)) is not None:
        context, prompt, at_least = int(longest[1]), int(longest[2]) + 1, True
    elif (more := _MORE_THAN_CONTEXT.search(told)) is not None:
        context, prompt, at_least = int(more[1]), 1, True
    elif (sums := _CONTEXT_TOKENS.search(told)) is not None and (counted := _PROMPT_TOKENS.search(told)) is not None:
        context, prompt, at_least = int(sums[1]), int(counted[2]), counted[1] is not None
    else:
        return None
    room = context - prompt - 1  # some releases of SGLang want the sum to stay below the limit
    if at_least:
        room = room // 2 if guess else 0
    return room if room > 0 else None


def is_about_length(status: int, body: bytes) -> bool:
    """Whether a refusal may be about how long the reply, or the prompt with it, may become: a guess, for words of any server."""
    return status in _UNFIT and _LENGTH.search(message_of_refusal(body)) is not None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header. A date is read against the server's own Date, so that no clock is needed."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):  # no date, or one with a time zone and one without
        return None


def describe(body: bytes) -> str:
    """What a body that cannot be used looks like, for a person."""
    text = body[:2000].decode("utf-8", "replace").strip()
    if not text:
        return "an empty body"
    if text.startswith("<"):
        title = _TITLE.search(text)
        return f"an HTML page ({title[1].strip()!r})" if title else "an HTML page"
    return f"{text[:120]!r}"


def message_of_refusal(body: bytes) -> str:
    """The server's own words."""
    return _told(body)[0]


def _told(body: bytes) -> tuple[str, str | None]:
    """The server's own message and error code, out of the forms in use (flat, nested under `error`, FastAPI's `detail`)."""
    try:
        data: Any = msgspec.json.decode(body)
    except NO_JSON:
        return describe(body), None
    return _said(data) or (describe(body), None)


def _said(data: Any) -> tuple[str, str | None] | None:
    if isinstance(data, dict):
        error = data.get("error", data)
        if isinstance(error, str):  # with a `message` beside it, only the name of the status
            return data["message"] if isinstance(data.get("message"), str) else error, None
        if isinstance(error, dict):
            message = error.get("message") or error.get("detail")
            code = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
            if message:
                return (message if isinstance(message, str) else str(message)), code if isinstance(code, str) else None
    return None
