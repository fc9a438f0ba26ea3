"""`series.parquet`: what each engine's controller saw, interval by interval, and what it answered."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from concur_batch import records as r
from concur_batch.results.rows import moment
from concur_batch.results.table import MOMENT, Columns, Table
from concur_batch.state import RunState

_SAMPLE: Columns = [
    ("capacity_tokens", pa.int64()),
    ("locked", pa.float64()),
    ("resident", pa.float64()),
    ("running_requests", pa.int64()),
    ("queued_requests", pa.int64()),
    ("evicted_tokens", pa.int64()),
    ("prefill_tokens", pa.int64()),
    ("prefill_busy_seconds", pa.float64()),
    ("prompt_tokens", pa.int64()),
    ("cached_tokens", pa.int64()),
    ("generated_tokens", pa.int64()),
    ("history_tokens", pa.int64()),
    ("missed_tokens", pa.int64()),
    ("active", pa.int64()),
    ("waiting", pa.int64()),
    ("committed_tokens", pa.int64()),
    ("steps", pa.int64()),
    ("touches", pa.int64()),
    ("lag_s", pa.float64()),
    ("stale", pa.bool_()),
]
COLUMNS: Columns = [
    ("time", MOMENT),
    ("elapsed_s", pa.float64()),  # of work, over all segments
    ("segment", pa.int64()),  # from 1
    ("engine", pa.string()),
    *_SAMPLE,
    ("limit_agents", pa.int64()),
    ("limit_tokens", pa.int64()),
    ("limit_requests", pa.int64()),
    ("reason", pa.string()),
]
WORDS = ["engine", "reason"]


class Series:
    """Joins each sample with the decision that followed it, per engine."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._undecided: dict[str, dict[str, Any]] = {}  # engine -> row of a sample whose decision has not come

    def add(self, record: r.Record, state: RunState) -> None:
        """Take a record in; `state` is the run's with this record applied. Kinds other than Sampled and Decided do nothing."""
        if isinstance(record, r.Sampled):
            self._write(record.engine)
            self._undecided[record.engine] = _place(record, state) | {name: getattr(record, name) for name, _ in _SAMPLE}
        elif isinstance(record, r.Decided):
            row = self._undecided.setdefault(record.engine, _place(record, state))  # without a sample: the first limit, a drain
            row.update(
                limit_agents=record.agents,
                limit_tokens=record.tokens,
                limit_requests=record.requests,
                reason=record.reason,
            )
            self._write(record.engine)

    def finish(self) -> None:
        """Write the samples that no decision followed."""
        for engine in list(self._undecided):
            self._write(engine)

    def _write(self, engine: str) -> None:
        row = self._undecided.pop(engine, None)
        if row is not None:
            self._table.append(row)


def _place(record: r.Sampled | r.Decided, state: RunState) -> dict[str, Any]:
    return {
        "time": moment(state.epoch + record.t),
        "elapsed_s": state.elapsed_before + record.t,
        "segment": state.segments,
        "engine": record.engine,
    }
