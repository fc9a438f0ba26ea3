"""Runs of the same controllers under several seeds as one row each: means. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from concur_batch.results.span import merged

Row = Mapping[str, Any]
R = TypeVar("R", bound=Row)


def means(runs: Sequence[Row]) -> list[Row]:
    """A row per controller, in the order of their first runs; of one run that run itself.

    Every number is the mean over its runs that tell it. Besides: `statuses` are sums, `limit` and the `windows` of a sweep are
    taken together, and `least_makespan_s` and `most_makespan_s` tell the spread.
    """
    by: dict[str, list[Row]] = {}
    for run in runs:
        by.setdefault(run["controller"], []).append(run)
    return [_mean(found) for found in by.values()]


def under_the_same_seeds(runs: Sequence[R]) -> list[R]:
    """Those under seeds that every controller has a run of, so that the rows can be compared; all where there is no such seed."""
    by: dict[str, set[int]] = {}
    for run in runs:
        by.setdefault(run["controller"], set()).add(run["seed"])
    common = set.intersection(*by.values()) if by else set()
    return [run for run in runs if run["seed"] in common or not common]


def _mean(runs: Sequence[Row]) -> Row:
    first = runs[0]
    row = {key: _mean_of([run.get(key) for run in runs]) for key in first} if len(runs) > 1 else dict(first)
    if len(runs) > 1:
        row["statuses"] = sum((Counter(run["statuses"]) for run in runs), Counter())
        row["limit"] = {kind: merged(_limit(run, kind) for run in runs) for kind in ("agents", "tokens", "requests")}
        spans = [run["makespan_s"] for run in runs if run["makespan_s"] is not None]
        row |= {"least_makespan_s": min(spans, default=None), "most_makespan_s": max(spans, default=None)}
    if "window" in first:
        row["windows"] = [run["window"] for run in runs]
    return row


def _limit(run: Row, kind: str) -> Any:
    return (run.get("limit") or {}).get(kind)


def _mean_of(values: Sequence[Any]) -> Any:
    """Of what is no number: the first."""
    known = [value for value in values if isinstance(value, int | float)]
    return sum(known) / len(known) if known else values[0]
