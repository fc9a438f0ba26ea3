"""Simulated runs in a table: one run as names and values, several as one row each. Pure.

A row is `Tally.figures()` and what its maker knows besides: `controller, profile, engines, agents, pool_tokens, lower_bound_s,
ttft_p50_s, ttft_p99_s, retractions, limit, wall_s`; or what `means` makes of several. What a row does not tell is shown as `-`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from concur_batch.results.span import Span
from concur_batch.results.sparklines import compact
from concur_batch.results.summary import duration, number, percent

Row = Mapping[str, Any]
_NOTHING = "-"
_GAP = 2  # cells between columns
_NAME_CELLS = 24  # of a controller's name; a longer one is folded


class _Column(NamedTuple):
    """One figure of the wide table. The highest `rank` is left out first."""

    header: str  # in two lines
    rank: int
    write: Callable[[Row, Row], str]  # of this row, with the first beside it


def table(rows: Sequence[Row], width: int = 80) -> Table:
    """One run: names and values. Several: a row each, with as many columns as `width` cells hold, the weightiest ones.

    Columns of which no row tells anything are left out.

    `x first` is the first row's makespan / this one's: how much faster. `of bound` is the lower bound / makespan: 100 % is
    what nothing can beat. Times of the wide table are in seconds. Raises ValueError without any row.
    """
    if not rows:
        raise ValueError("a table needs at least one run")
    return _one(rows[0]) if len(rows) == 1 else compared(rows, width)


def _one(row: Row) -> Table:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for place, group in enumerate(_groups(row)):
        if place:
            grid.add_row()
        for name, value in group:
            grid.add_row(name, Text(value))
    return grid


def _bound(row: Row) -> str:
    if row.get("lower_bound_s") is None:
        return "not known: limits end agents early"
    return f"{_time(row, 'lower_bound_s')} without recomputing, {_share(_of_bound(row))} of the makespan"


def _retractions(row: Row) -> str:
    again = f", {_count(row, 'retracted_tokens')} tokens prefilled again" if row.get("retracted_tokens") else ""
    return _count(row, "retractions") + again


def _statuses(row: Row) -> str:
    """How many agents ended how, where not all completed."""
    ended = row.get("statuses") or {}
    if set(ended) <= {"completed"}:
        return ""
    return ": " + ", ".join(f"{status} {count:,}" for status, count in sorted(ended.items()))


def _groups(row: Row) -> list[list[tuple[str, str]]]:
    """What belongs together, as name and value."""
    return [
        [
            ("controller", f"{_name(row)} on {_engines(row)}"),
            (
                "agents",
                f"{_count(row, 'agents')}{_statuses(row)}; {_count(row, 'steps')} steps, pool of {_count(row, 'pool_tokens')} tokens",
            ),
        ],
        [
            ("makespan", _makespan(row)),
            ("lower bound", _bound(row)),
            ("results", _results(row)),
            ("an agent", _percentiles(row, "agent_p50_s", "agent_p95_s", "agent_p99_s")),
            ("first token", _percentiles(row, "ttft_p50_s", "ttft_p99_s")),
        ],
        [
            ("hit rate", f"{_share(row.get('hit_rate'))} of {_count(row, 'prompt_tokens')} prompt tokens"),
            ("recomputed", f"{_count(row, 'recomputed_tokens')} tokens, {_share(row.get('miss_rate'))} of the history"),
            ("generated", f"{_count(row, 'generated_tokens')} tokens"),
            ("retractions", _retractions(row)),
            ("pauses", f"{_count(row, 'pauses')}, the longest {_time(row, 'paused_max_s')}"),
            *([("touches", f"{_count(row, 'touches')} requests that only keep KV in the cache")] if row.get("touches") else []),
        ],
        [("simulated in", _time(row, "wall_s"))],
    ]


def _name(row: Row) -> str:
    """With the windows that a sweep has found best: `fixed:auto (44)`, of several seeds `fixed:auto (40..off)`."""
    name = str(row.get("controller") or _NOTHING)
    windows = row.get("windows") or ([row["window"]] if "window" in row else [])
    if not windows:
        return name
    sizes = sorted({inf if window is None else window for window in windows})
    least, most = ("off" if size == inf else f"{size:,}" for size in (sizes[0], sizes[-1]))
    return f"{name} ({least})" if least == most else f"{name} ({least}..{most})"


def _engines(row: Row) -> str:
    profile = row.get("profile") or _NOTHING
    return f"{row['engines']} x {profile}" if row.get("engines", 1) > 1 else profile


def _makespan(row: Row) -> str:
    """In seconds too, which runs are compared by."""
    value = row.get("makespan_s")
    return _NOTHING if value is None else f"{number(value)} s" + (f" ({duration(value)})" if value >= 60 else "")


def _results(row: Row) -> str:
    first, half, most = (_time(row, key) for key in ("first_result_s", "done_p50_s", "done_p95_s"))
    return f"first after {first}, half by {half}, 95 % by {most}"


def _percentiles(row: Row, *keys: str) -> str:
    """`p50 3 min 36 s, p95 6 min 33 s`."""
    return ", ".join(f"{key.split('_')[1]} {_time(row, key)}" for key in keys)


def compared(rows: Sequence[Row], width: int = 80) -> Table:
    """A row each, also where there is only one. Columns are chosen by rank and stand in the order written here."""
    names = [_name(row) for row in rows]
    written = ((column, [column.write(row, rows[0]) for row in rows]) for column in _COLUMNS)
    cells = {column: texts for column, texts in written if set(texts) != {_NOTHING}}
    needed = {
        column: _GAP + max(cell_len(text) for text in [*column.header.split("\n"), *texts]) for column, texts in cells.items()
    }
    room = width - min(_NAME_CELLS, max(cell_len(name) for name in ["controller", *names]))
    chosen = []
    for column in sorted(cells, key=lambda column: column.rank):
        room -= needed[column]
        if room < 0:
            break
        chosen.append(column)
    wide = Table(box=None, padding=(0, 0, 0, _GAP), pad_edge=False, collapse_padding=True, header_style="bold")
    wide.add_column("\ncontroller", overflow="fold", max_width=_NAME_CELLS)
    shown = [column for column in _COLUMNS if column in chosen]
    for column in shown:
        wide.add_column(column.header, justify="right", no_wrap=True)
    for i, name in enumerate(names):
        wide.add_row(Text(name), *(Text(cells[column][i]) for column in shown))
    return wide


def _figure(key: str, write: Callable[[float], str]) -> Callable[[Row, Row], str]:
    return lambda row, _: _NOTHING if row.get(key) is None else write(row[key])


def _digits(value: float) -> str:
    """As `number`, and a column alike: zeros at the end stay."""
    return number(value) if value >= 100 else f"{value:#.3g}".rstrip(".")


def _spread(row: Row, _: Row) -> str:
    least, most = row.get("least_makespan_s"), row.get("most_makespan_s")
    return _NOTHING if least is None or most is None else f"{_digits(least)}..{_digits(most)}"


def _path(row: Row, _: Row) -> str:
    """The limit on tokens where there is one, else that on model calls in flight, else that on agents."""
    limit = row.get("limit") or {}
    if limit.get("tokens"):
        return f"{_went(limit['tokens'], _short)} tok"
    if limit.get("requests"):
        return f"{_went(limit['requests'], '{:,}'.format)} calls"
    return _went(limit["agents"], "{:,}".format) if limit.get("agents") else _NOTHING


def _went(span: Span, write: Callable[[int], str]) -> str:
    """First → lowest..highest → last; one number where it did not move."""
    sizes = (span[key] for key in ("first", "low", "high", "last"))
    first, low, high, last = ("no limit" if size is None else write(size) for size in sizes)
    return first if low == high else f"{first} → {low}..{high} → {last}"


def _short(tokens: int) -> str:
    """`800`, `240k`, `1.2M`."""
    if tokens < 999_500:
        return f"{tokens}" if tokens < 1_000 else f"{tokens / 1e3:.0f}k"
    return f"{tokens / 1e6:.1f}M"


_COLUMNS = (
    _Column("makespan\ns", 0, _figure("makespan_s", _digits)),
    _Column("of seeds\ns", 3, _spread),
    _Column("x\nfirst", 1, lambda row, first: _NOTHING if (faster := _faster(row, first)) is None else f"{faster:.2f}"),
    _Column("of\nbound", 6, lambda row, _: _share(_of_bound(row))),
    _Column("hit\nrate", 2, lambda row, _: _share(row.get("hit_rate"))),
    _Column("miss\nrate", 9, lambda row, _: _share(row.get("miss_rate"))),
    _Column("recom-\nputed", 5, _figure("recomputed_tokens", compact)),
    _Column("agent\np50 s", 4, _figure("agent_p50_s", _digits)),
    _Column("agent\np95 s", 7, _figure("agent_p95_s", _digits)),
    _Column("agent\np99 s", 10, _figure("agent_p99_s", _digits)),
    _Column("first\nresult s", 11, _figure("first_result_s", _digits)),
    _Column("done\np50 s", 8, _figure("done_p50_s", _digits)),
    _Column("done\np95 s", 12, _figure("done_p95_s", _digits)),
    _Column("done\np99 s", 13, _figure("done_p99_s", _digits)),
    _Column("ttft\np50 s", 18, _figure("ttft_p50_s", _digits)),
    _Column("ttft\np99 s", 15, _figure("ttft_p99_s", _digits)),
    _Column("retrac-\ntions", 17, _figure("retractions", compact)),
    _Column("longest\npause s", 16, _figure("paused_max_s", _digits)),
    _Column("limit: first →\nleast..most → last", 14, _path),
)


def _faster(row: Row, first: Row) -> float | None:
    return _ratio(first.get("makespan_s"), row.get("makespan_s"))


def _of_bound(row: Row) -> float | None:
    return _ratio(row.get("lower_bound_s"), row.get("makespan_s"))


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _share(value: float | None) -> str:
    return _NOTHING if value is None else percent(value)


def _count(row: Row, key: str) -> str:
    value = row.get(key)
    return _NOTHING if value is None else f"{value:,}"


def _time(row: Row, key: str) -> str:
    """Below ten seconds to the hundredth: a first token's time."""
    value = row.get(key)
    if value is None:
        return _NOTHING
    return f"{value:.2f} s" if 0 < value < 10 else duration(value)
