"""`concur status`: how far a run is, beside the process that writes or after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.cli import directory
from concur_batch.journal.follower import fold_journal
from concur_batch.journal.lock import holder_of
from concur_batch.results.labelled import show
from concur_batch.status import MAX_ATTEMPTS, render_status, status_dict


def print_status(run_dir: Path, *, as_json: bool) -> int:
    """Also beside a process that writes. Returns the exit code."""
    described = directory.read(run_dir)
    resumable = not described.get("simulated")
    holder = holder_of(run_dir)
    state = fold_journal(run_dir)
    has_results = (run_dir / directory.RESULTS).exists()
    status = status_dict(
        state,
        run_dir,
        holder,
        resumable=resumable,
        has_results=has_results,
        results_written=has_results and directory.summary_in(run_dir).get("segments") == state.segments,
        max_attempts=_max_attempts(described["config"]),
    )
    if as_json:
        print(json.dumps(status))  # noqa: T201 - the command's output
    else:
        show(Console(), render_status(status, resumable=resumable))
    return 0


def _max_attempts(config: dict[str, Any]) -> int:
    """`run.max_attempts` as it was saved: whoever only looks at a run need not load all that checks a configuration."""
    run = config.get("run")
    saved = run.get("max_attempts") if isinstance(run, dict) else None
    return saved if isinstance(saved, int) else MAX_ATTEMPTS
