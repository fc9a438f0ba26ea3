"""A task's content as 16 hex digits: equal digits, same conversation."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


def fingerprint(content: dict[str, Any]) -> str:
    """blake2b over the JSON of these parts of a task, whatever the order of their keys."""
    return hashlib.blake2b(_encode(content), digest_size=8).hexdigest()
