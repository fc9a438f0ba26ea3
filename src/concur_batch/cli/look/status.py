"""`concur status`: how far a run is, beside the process that writes or after it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from concur_batch.cli import directory
from concur_batch.cli.streams import printing
from concur_batch.journal.follower import fold_journal
from concur_batch.journal.lock import holder_of
from concur_batch.status import render_status, status_dict


def print_status(run_dir: Path, *, as_json: bool) -> int:
    """Also beside a process that writes. Returns the exit code."""
    resumable = not directory.read(run_dir).get("simulated")
    holder = holder_of(run_dir)
    state = fold_journal(run_dir)
    with printing():
        if as_json:
            print(json.dumps(status_dict(state, run_dir, holder, resumable=resumable)))  # noqa: T201 - the command's output
        else:
            Console().print(render_status(state, run_dir, holder, resumable=resumable))
    return 0
