"""Where a limit went: first, lowest, highest, last; of one run or of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

Span = Mapping[str, int | None]
"""`first`, `low`, `high`, `last`, as JSON has them. None: no limit."""

Path = Sequence[tuple[float, int | None]]


def span(path: Path) -> Span | None:
    """Of a limit as it changed, as (seconds, limit) in order; None where it was never told."""
    if not path:
        return None
    sizes = [_number(size) for _, size in path]
    return _told(sizes[0], min(sizes), max(sizes), sizes[-1])


def merged(spans: Iterable[Span | None]) -> Span | None:
    """Several as one: the lowest and the highest of all, and means of the first and the last."""
    known = [{name: _number(size) for name, size in one.items()} for one in spans if one is not None]
    if not known:
        return None
    first, last = (sum(one[name] for one in known) / len(known) for name in ("first", "last"))
    return _told(first, min(one["low"] for one in known), max(one["high"] for one in known), last)


def _told(first: float, low: float, high: float, last: float) -> Span:
    sizes = {"first": first, "low": low, "high": high, "last": last}
    return {name: None if size == inf else round(size) for name, size in sizes.items()}


def _number(size: int | None) -> float:
    return inf if size is None else size
