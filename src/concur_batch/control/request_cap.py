"""`requests:N`: a cap on model calls in flight instead of on agents, as most clients have it.

The paper finds that it does not help: all agents stay under way, and between their calls they evict each other's cache.
"""

from __future__ import annotations

from concur_batch.control.base import Limit
from concur_batch.control.fixed import Fixed


def requests(calls: int) -> Fixed:
    """At most `calls` model calls in flight."""
    return Fixed(Limit(requests=calls, reason="fixed"))
