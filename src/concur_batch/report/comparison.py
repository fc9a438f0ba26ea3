"""Several runs side by side: what is compared, and with what ratio to the first. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from concur_batch.report.tidy import clipped, tidy

Numbers = Mapping[str, Any]

_ROWS: tuple[tuple[str, str, tuple[str, ...], bool | None, bool], ...] = (
    # name, unit, where in the numbers, whether less is better (None: neither), whether it is of the whole run: no verdict without
    ("rollouts ended", "", ("rollouts", "ended"), None, True),
    ("failed", "", ("statuses", "error"), True, True),
    ("time", "s", ("elapsed_s",), True, True),
    ("makespan: the last end", "s", ("figures", "makespan_s"), True, True),
    ("rollouts per second", "/s", ("per_second", "rollouts"), False, True),
    ("steps per second", "/s", ("per_second", "steps"), False, False),
    ("generated tokens per second", "/s", ("per_second", "generated_tokens"), False, False),
    ("steps", "", ("steps",), None, True),
    ("generated tokens", "", ("tokens", "generated"), None, True),
    ("prompt tokens", "", ("tokens", "prompt"), None, True),
    ("cache hit rate", "%", ("tokens", "cached_share"), False, False),
    ("history computed again", "%", ("tokens", "recomputed_share"), True, False),
    ("tokens computed again", "", ("tokens", "recomputed"), True, True),
    ("an agent's life, median", "s", ("figures", "agent_p50_s"), True, True),
    ("an agent's life, p95", "s", ("figures", "agent_p95_s"), True, True),
    ("first result after", "s", ("figures", "first_result_s"), True, False),
    ("half of the results after", "s", ("figures", "done_p50_s"), True, True),
    ("wait for the first slot, mean", "s", ("admission_mean_s",), True, True),
    ("pauses", "", ("figures", "pauses"), None, True),
    ("longest pause", "s", ("figures", "paused_max_s"), True, True),
    ("tool calls", "", ("tool_calls",), None, True),
)


def compared(runs: Sequence[Numbers]) -> list[dict[str, Any]]:
    """A row per figure that any run tells: `name`, `unit`, `values`, and `ratios` to the first run's, None where there is none.

    `so_far` holds the places of runs that have not finished, in rows of what is known only in the end: no ratio there.
    """
    rows = []
    unfinished = [not _is_finished(run) for run in runs]
    for name, unit, path, less_is_better, is_whole in _ROWS:
        values = [_at(run, path) for run in runs]
        if name == "failed":
            values = [value or 0 for value in values]
        if all(value is None for value in values):
            continue
        so_far = [i for i, value in enumerate(values) if is_whole and unfinished[i] and value is not None]
        ratios = [None if {0, i} & set(so_far) else _ratio(value, values[0]) for i, value in enumerate(values)]
        shown = [tidy(value, 6) for value in values]
        row = {"name": name, "unit": unit, "values": shown, "ratios": ratios, "less_is_better": less_is_better, "so_far": so_far}
        rows.append(row)
    return rows


def _is_finished(run: Numbers) -> bool:
    """Whether all of its rollouts have ended."""
    ended, total = (_at(run, ("rollouts", key)) for key in ("ended", "total"))
    return bool(total) and ended == total


def _at(run: Numbers, path: tuple[str, ...]) -> float | None:
    value: Any = run
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else None


def _ratio(value: float | None, first: float | None) -> float | int | None:
    return tidy(value / first) if value is not None and first else None


def flattened(settings: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and short texts."""
    if isinstance(settings, Mapping) and settings:
        found: dict[str, str] = {}
        for key, value in settings.items():
            found |= flattened(value, f"{prefix}.{key}" if prefix else str(key))
        return found
    text = settings if isinstance(settings, str) else json.dumps(settings, default=str)
    return {clipped(prefix): clipped(text, 300)}


def differences(settings: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The keys in which flattened settings differ, with each one's value (None: has no such key)."""
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = [{"key": key, "values": [one.get(key) for one in settings]} for key in keys]
    return [row for row in rows if len(set(row["values"])) > 1]
