"""What a server says when it will not take the help that SGLang has for agents: session ids, priorities. Pure.

SGLang tells in /server_info whether it has them. It may refuse all the same: a router in front of several servers, another
release that wants a session opened first, one that aborts requests with a priority where it heeds none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from concur_batch.engine.faults import message_of_refusal

_NAMED = {"session_id": re.compile(r"session", re.IGNORECASE), "priority": re.compile(r"priority", re.IGNORECASE)}
# Comes with 503, as a full queue does: "The request is aborted by a higher priority request" is no refusal.
_WITHOUT_PRIORITY = re.compile(r"priority is disabled|without a priority", re.IGNORECASE)
_ABOUT_OTHER_THINGS = {401, 403, 408, 429}


def refused_fields(status: int, answer: bytes, body: Mapping[str, Any]) -> list[str]:
    """The fields of the request's `body` that this answer is about; a guess, to be tried by a call without them."""
    if status == 503:
        return ["priority"] if "priority" in body and _WITHOUT_PRIORITY.search(message_of_refusal(answer)) else []
    if not 400 <= status < 500 or status in _ABOUT_OTHER_THINGS:
        return []
    sent = [field for field in _NAMED if field in body]
    if not sent:
        return []
    told = message_of_refusal(answer)
    return [field for field in sent if _NAMED[field].search(told)]
