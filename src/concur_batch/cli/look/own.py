"""What a command that looks at a run must never replace: the files that the run itself keeps in its directory."""

from __future__ import annotations

import os
from pathlib import Path

from concur_batch.cli import directory
from concur_batch.jobs.sources import STDIN_FILE
from concur_batch.journal.writer import FOLDER

_NAMES = (
    "results.parquet",
    "results.jsonl",
    "failures.jsonl",
    "series.parquet",
    "summary.json",
    "lock",
    directory.CONFIG,
    directory.INDEX,
    STDIN_FILE,
)


def is_own(run_dir: Path, path: Path) -> bool:
    """Whether this is such a file, there or not. Links are followed."""
    path = Path(os.path.realpath(path))  # which links that lead back to themselves do not stop
    return path.is_relative_to(os.path.realpath(run_dir)) and (path.name in _NAMES or path.parent.name == FOLDER)
