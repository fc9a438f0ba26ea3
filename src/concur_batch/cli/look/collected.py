"""The rollouts of a run directory that have ended, from whichever file tells them all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from concur_batch.cli import directory
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import segments
from concur_batch.results.collection import Collection, JournalCollection
from concur_batch.results.lost import Noting, lost_messages


@contextmanager
def collection(run_dir: Path) -> Iterator[Collection]:
    """All of them. Says on standard error of whose row, among those asked for, something is lost."""
    with _told(run_dir) as told:
        found = Noting(told)
        try:
            yield found
        finally:
            if found.lost:
                print(f"note: {lost_messages(run_dir, found.lost)}", file=sys.stderr)  # noqa: T201 - beside what is shown


@contextmanager
def _told(run_dir: Path) -> Iterator[Collection]:
    """`results.parquet` where it is of the whole journal, as its summary tells, or where there is no journal, or an empty one; else the journal."""
    paths, parquet, summary = segments(run_dir), run_dir / "results.parquet", directory.summary_in(run_dir)
    has_journal = any(map(_holds_any, paths))
    if parquet.exists() and (not has_journal or summary.get("segments") == len(paths)):
        from concur_batch.results.parquet_collection import ParquetCollection  # noqa: PLC0415 - pyarrow, only where it is read

        rollouts = summary.get("rollouts") or {}
        unended = rollouts.get("total", 0) - rollouts.get("ended", 0)
        yield ParquetCollection(parquet, unended, has_journal=has_journal)
        return
    if not paths:
        directory.read(run_dir)  # raises where there is no run at all
    from concur_batch.jobs.index import read_index  # noqa: PLC0415 - pydantic, for a tenth of a second

    index = run_dir / directory.INDEX
    with closing(JournalReader(run_dir)) as reader:
        yield JournalCollection(reader, read_index(index) if index.exists() else None)


def _holds_any(segment: Path) -> bool:
    try:
        return segment.stat().st_size > 0
    except OSError:
        return True  # whoever reads it says what is wrong
