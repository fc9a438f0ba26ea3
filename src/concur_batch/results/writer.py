"""Write a run's results from its journal: one reading in order, then one visit per record of each rollout that has ended.

Memory grows by 8 bytes per reply and observation and by a small entry per rollout, not by what they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import msgspec

from concur_batch.results import series
from concur_batch.results.atomic import replacing
from concur_batch.results.columns import COLUMNS, WORDS, cells
from concur_batch.results.index import RolloutIndex
from concur_batch.results.lost import Lost, lost_of
from concur_batch.results.openai_batch import batch_line
from concur_batch.results.rows import ResultRow, result_row
from concur_batch.results.source import PositionedRecords
from concur_batch.results.summary import summarise
from concur_batch.results.table import Table, table
from concur_batch.state import RunState

OutputFormat: TypeAlias = Literal["parquet", "jsonl", "openai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What has been written."""

    rows: int
    paths: tuple[Path, ...]
    state: RunState  # after the whole journal
    summary: dict[str, Any]  # what `summary.json` holds
    lost: tuple[Lost, ...]  # rollouts of which something is left out, as the journal does not tell it


def write_results(
    run_dir: Path,
    source: PositionedRecords,
    order: Iterable[tuple[str, int]] | None = None,
    *,
    output_format: OutputFormat = "parquet",
    mend: str | None = None,
) -> Results:
    """Write `results.parquet`, `failures.jsonl`, `series.parquet`, `summary.json`, and `results.jsonl` where asked for.

    Each file takes the place of its predecessor as a whole. A rollout without a terminal record in its last attempt has no row.

    Args:
        run_dir: an existing folder.
        source: the run's journal.
        order: task id and number of rollouts, in job order; None: as the journal's own indices say.
        output_format: what `results.jsonl` holds beside the Parquet file: nothing, the same rows, or OpenAI batch lines.
        mend: what the user can do where a file cannot be written; None: what helps with a run, which can be resumed.

    Raises:
        RunDirectoryError: a file cannot be written, or the journal cannot be read.
    """
    state, index = RunState(), RolloutIndex()
    with replacing(run_dir / "series.parquet", mend) as file, table(file, series.COLUMNS, series.WORDS) as rows:
        joined = series.Series(rows)
        for position, record in source.positioned():
            state.apply(record)
            index.add(position, record, state.epoch)
            joined.add(record, state)
        joined.finish()

    paths = [run_dir / "results.parquet", run_dir / "failures.jsonl"]
    if output_format != "parquet":
        paths.append(run_dir / "results.jsonl")
    with ExitStack() as stack:
        files = [stack.enter_context(replacing(path, mend)) for path in paths]
        output = _Output(stack.enter_context(table(files[0], COLUMNS, WORDS)), files, output_format)
        for rollout, trace in index.drain(order):
            output.add(rollout, result_row(rollout, trace, map(source.at, trace.positions)))

    summary = summarise(state, failures=output.failures)
    with replacing(run_dir / "summary.json", mend) as file:
        file.write(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    paths += [run_dir / "series.parquet", run_dir / "summary.json"]
    return Results(rows=output.rows, paths=tuple(paths), state=state, summary=summary, lost=tuple(output.lost))


class _Output:
    """The open files that each row goes to."""

    def __init__(self, rows: Table, files: list[BinaryIO], output_format: OutputFormat) -> None:
        self.failures: Counter[str] = Counter()
        self.lost: list[Lost] = []
        self._table = rows
        self._failures_file = files[1]
        self._lines_file = files[2] if output_format != "parquet" else None
        self._format = output_format
        self._encode = msgspec.json.Encoder().encode

    @property
    def rows(self) -> int:
        return self._table.rows

    def add(self, rollout: str, row: ResultRow) -> None:
        lost = lost_of(rollout, row)
        if lost is not None:
            self.lost.append(lost)
        self._table.append(*cells(row))
        if row.status == "error":
            self.failures[row.error.error_class if row.error else "internal"] += 1
            self._line(self._failures_file, _failure(row))
        if self._lines_file is not None:
            self._line(self._lines_file, batch_line(row) if self._format == "openai" else row)

    def _line(self, file: BinaryIO, content: object) -> None:
        file.write(self._encode(content) + b"\n")


def _failure(row: ResultRow) -> dict[str, Any]:
    """What one needs to see why a rollout failed, without the whole conversation."""
    return {
        "id": row.id,
        "rollout": row.rollout,
        "attempt": row.attempt,
        "error": row.error,
        "n_steps": row.n_steps,
        "endpoint": row.endpoint,
        "model": row.model,
        "seed": row.seed,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "last_message": row.messages[-1] if row.messages else None,
        "metadata": row.metadata,
    }
