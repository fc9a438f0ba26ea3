"""Take secrets out of what is written or shown. Rather one value too many than one too few."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

REDACTED = "***"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # apiKey, APIKey and api_key are two words each
_LETTERS = re.compile(r"[a-z]+")  # the same without heed to case: `TOKENs` is one
_SECRET_WORD = re.compile(  # `authtoken` and `apikeys` are secrets as well, `tokenizer` and `keywords` are none
    r".*(key|token)s?|.*(secret|passw|passphrase|credential|authorization|bearer|cookie).*|pwds?|creds|auth|jwts?"
)
_NO_SECRET = re.compile(r"(max|min)_(\w+_)?tokens?")  # bounds, whatever of
_NO_SECRETS = frozenset(  # fields of requests, by their words
    [
        "prompt_cache_key",
        "cache_key",
        "extra_key",
        "stop_token",
        "stop_tokens",
        "stop_token_ids",
        "token_ids",
        "allowed_token_ids",
        "bad_token_ids",
        "token_ids_logprob",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "bos_token",
        "bos_token_id",
        "eos_token",
        "eos_token_id",
        "pad_token",
        "pad_token_id",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "truncate_prompt_tokens",
        "budget_tokens",
        "thinking_token_budget",
    ]
)
_SCHEMAS = frozenset(["response_format", "json_schema", "guided_json", "structured_outputs"])
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY = re.compile(r"([?&][^=&\s]*(?:key|token|secret|passw)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def redact(value: Any, name: str = "") -> Any:
    """A copy without secrets: texts under names that sound like one, and user, password and keys inside URLs.

    Numbers stay as they are. `name` may be dotted; whatever is under a secret name is secret. JSON schemas stay as they are:
    in them a `password` is a field that a reply is to have.
    """
    if isinstance(value, dict):
        return {key: redact(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, name) for item in value]
    if isinstance(value, str):
        parts = name.split(".")
        around = list(takewhile(lambda part: part not in _SCHEMAS, parts))
        if value and any(map(_is_secret, around)):
            return REDACTED
        if len(around) < len(parts):
            return value
        return _QUERY.sub(rf"\1{REDACTED}", _USER_INFO.sub(REDACTED, value))
    return value


def _is_secret(name: str) -> bool:
    """Whether any word of it sounds like a secret, and the whole is not known for something else."""
    words = [word.lower() for word in _WORD.findall(name)]
    whole = "_".join(words)
    if whole in _NO_SECRETS or _NO_SECRET.fullmatch(whole):
        return False
    return any(_SECRET_WORD.fullmatch(word) for word in (*words, *_LETTERS.findall(name.lower())))


def is_redacted(value: Any) -> bool:
    """Whether something was taken out of this value."""
    if isinstance(value, dict):
        return any(is_redacted(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_redacted(item) for item in value)
    return isinstance(value, str) and (value == REDACTED or f"://{REDACTED}@" in value or f"={REDACTED}" in value)
