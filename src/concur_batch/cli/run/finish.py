"""After a segment: results from the journal, the summary, and the exit code."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.cli import directory, streams
from concur_batch.cli.run.segment import Batch, Outcome
from concur_batch.errors import ConcurError, RunDirectoryError
from concur_batch.jobs.index import read_index
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import segments
from concur_batch.results.labelled import show
from concur_batch.results.lost import lost_messages
from concur_batch.results.summary import render, summarise
from concur_batch.rollout import AGENT_RAISED
from concur_batch.state import fold


def finish(batch: Batch, outcome: Outcome) -> int:
    """Write results, also of an interrupted run, and tell how it went. Returns the exit code; raises what stopped the run."""
    if outcome.error is not None and not batch.state.has_begun:  # not even the first record was written: results of nothing
        raise outcome.error  # beside no journal would be taken for a run that has lost it
    try:
        _refuse_gone(batch)
        outcome.summary = _results(batch)
    except ConcurError as error:
        outcome.summary = _unwritten(batch)
        if outcome.error is None:
            outcome.error = error
            raise
        print(f"concur: {error}", file=sys.stderr)  # noqa: T201 - the second fault of a run that raises its first
    unwritten = streams.unwritten()
    if unwritten is not None:
        print(f"concur: {unwritten}; the run went on, and its results are in {batch.run_dir}", file=sys.stderr)  # noqa: T201 - the same
    if outcome.error is not None:
        if outcome.cause == "engine":
            _tell_to_resume(batch)
        raise outcome.error
    code = _exit_code(batch, outcome)
    return unwritten.exit_code if unwritten is not None and code == 0 else code


def _refuse_gone(batch: Batch) -> None:
    """Raises RunDirectoryError where the segment just written is there no more: what is left is not the run."""
    if batch.segment is None or batch.segment in segments(batch.run_dir):
        return
    place = batch.run_dir if not batch.run_dir.exists() else batch.segment
    raise RunDirectoryError(
        f"{place}: was moved or removed during the run, so its results could not be written; put it back and give: "
        f"{directory.resuming(batch.run_dir)}"
    )


def _results(batch: Batch) -> dict[str, Any]:
    from concur_batch.results.writer import write_results  # noqa: PLC0415 - pyarrow, at the end rather than at the start

    order = read_index(batch.run_dir / directory.INDEX)
    with contextlib.closing(JournalReader(batch.run_dir)) as reader:
        results = write_results(batch.run_dir, reader, order, output_format=batch.config.run.output_format)
    lines = batch.run_dir / "results.jsonl"
    if lines not in results.paths and lines.exists():
        mend = f"remove it, or write it anew by: {directory.resuming(batch.run_dir)} --output-format jsonl"
        print(f"note: {lines} is older than these results, which are in {directory.RESULTS} alone; {mend}", file=sys.stderr)  # noqa: T201 - the same
    if results.lost:
        print(f"note: {lost_messages(batch.run_dir, results.lost)}", file=sys.stderr)  # noqa: T201 - beside the summary
    with contextlib.suppress(OSError, SystemExit):  # rich raises SystemExit where nobody reads any more; the results are there
        lines_too = batch.config.run.output_format != "parquet"
        tracebacks = _tracebacks(batch.run_dir) if "agent" in results.summary["failures"] else None
        show(batch.console, render(results.summary, batch.run_dir, lines_too=lines_too, tracebacks=tracebacks))
    return results.summary


def _tracebacks(run_dir: Path) -> Path | None:
    """The newest log in which an agent's is."""
    for log in sorted((run_dir / directory.LOGS).glob("*.log"), reverse=True):
        with log.open(encoding="utf-8", errors="replace") as lines:
            if any(AGENT_RAISED in line for line in lines):
                return log
    return None


def _unwritten(batch: Batch) -> dict[str, Any] | None:
    """The summary where results cannot be written, for whom `--on-exit` tells; None where nothing began."""
    try:
        _refuse_gone(batch)
        with contextlib.closing(JournalReader(batch.run_dir)) as reader:
            state = fold(reader.records())
    except ConcurError:  # that is why they cannot
        state = batch.state
    return summarise(state) if state.has_begun else None


def _exit_code(batch: Batch, outcome: Outcome) -> int:
    if outcome.cause != "finished":
        _tell_to_resume(batch)
        first = outcome.signals[0] if outcome.signals else signal.SIGINT
        return 128 + first
    return 0 if batch.config.run.allows(batch.state.failed, batch.state.rollouts) else 1


def _tell_to_resume(batch: Batch) -> None:
    if not batch.alone:  # what it is of tells more
        return
    text = f"interrupted; go on with: {directory.resuming(batch.run_dir)}"
    Console(stderr=True).out(text, highlight=False)
