"""Take secrets out of what is written or shown. Rather one value too many than one too few."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "***"
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|authorization|bearer|cookie", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY = re.compile(r"([?&][^=&\s]*(?:key|token|secret|passw)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def redact(value: Any, name: str = "") -> Any:
    """A copy without secrets: texts under names that sound like one, and user, password and keys inside URLs.

    Numbers stay as they are: `max_tokens` is no secret.
    """
    if isinstance(value, dict):
        return {key: redact(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, name) for item in value]
    if isinstance(value, str):
        if value and _SECRET_NAME.search(name):
            return REDACTED
        return _QUERY.sub(rf"\1{REDACTED}", _USER_INFO.sub(REDACTED, value))
    return value


def is_redacted(value: Any) -> bool:
    """Whether something was taken out of this value."""
    if isinstance(value, dict):
        return any(is_redacted(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_redacted(item) for item in value)
    return isinstance(value, str) and (value == REDACTED or f"://{REDACTED}@" in value or f"={REDACTED}" in value)
