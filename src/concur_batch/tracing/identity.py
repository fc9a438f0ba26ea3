"""Who a span is. Those of rollouts follow from what they are of, so that a later process can link to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags

from concur_batch import records as r


def rollout_context(run: float, rollout: str, attempt: int, segment: int) -> SpanContext:
    """Of the span of one attempt in one segment. `run`: when the run began, seconds since 1970."""
    digest = hashlib.sha256(f"{run!r}\0{rollout}\0{attempt}\0{segment}".encode(errors="replace")).digest()
    trace, span = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return SpanContext(trace or 1, span or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class SpanIds(RandomIdGenerator):
    """Random ones, but for the next span after `root` was set, which starts a trace."""

    def __init__(self) -> None:
        self.root: SpanContext | None = None

    def generate_trace_id(self) -> int:
        """The root's, or a random one."""
        return self.root.trace_id if self.root is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The root's, once; else a random one."""
        root, self.root = self.root, None
        return root.span_id if root is not None else super().generate_span_id()


def last_segments(records: Iterable[r.Record]) -> dict[str, int]:
    """The segment (from 1) in which each unfinished rollout was last at work."""
    found: dict[str, int] = {}
    segment = 0
    for record in records:
        if isinstance(record, r.SegmentStarted):
            segment += 1
        elif isinstance(record, r.RolloutStarted):
            found[record.rollout] = segment
        elif isinstance(record, r.RolloutFinished):
            found.pop(record.rollout, None)
    return found
