"""What a model meant by arguments that are no JSON object. Pure."""

from __future__ import annotations

import json
from typing import Any

import json_repair

REPAIRABLE_CHARS = 50_000  # repairing is slow and runs on the event loop


def repaired(text: str) -> dict[str, Any] | None:
    """The object that was meant by broken JSON, or by a JSON string that holds an object. None: no telling."""
    if len(text) > REPAIRABLE_CHARS:
        return None
    try:
        found = _meant(text)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair could not be written down again
    except Exception:  # noqa: BLE001  (a heuristic over hostile text: whatever it raises means that it could not)
        return None
    return found if isinstance(found, dict) and found else None


def _meant(text: str) -> Any:
    try:
        told = json.loads(text)
    except ValueError:
        return json_repair.loads(text, skip_json_loads=True)
    return json.loads(told) if isinstance(told, str) else None
