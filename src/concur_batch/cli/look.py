"""`concur status` and `concur validate`: look, change nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.cli import directory, parts
from concur_batch.config import resolve
from concur_batch.jobs.load import load
from concur_batch.journal.follower import fold_journal
from concur_batch.journal.lock import holder_of
from concur_batch.status import render_status, status_dict
from concur_batch.toolbox.load import load_tools


def print_status(run_dir: Path, *, as_json: bool) -> int:
    """Also beside a process that writes. Returns the exit code."""
    resumable = not directory.read(run_dir).get("simulated")
    holder = holder_of(run_dir)
    state = fold_journal(run_dir)
    if as_json:
        print(json.dumps(status_dict(state, run_dir, holder, resumable=resumable)))  # noqa: T201 - the command's output
    else:
        Console().print(render_status(state, run_dir, holder, resumable=resumable))
    return 0


def print_validation(jobs: Sequence[str], options: Mapping[str, Any], sets: Sequence[str], config_file: Path | None) -> int:
    """Every row checked as `run` would with an engine. Raises JobFaults with what is wrong; returns the exit code."""
    config = resolve(options, sets, config_file, os.environ)
    with tempfile.TemporaryDirectory() as folder:
        tools = load_tools(config.tools.sources, limits=parts.tool_limits(config), workspaces=Path(folder))
        options_ = parts.load_options(config, tools, require_script=False)
        with load(list(jobs), options_, spool=Path(folder)) as job:
            console = Console(highlight=False)
            for warning in job.warnings:
                console.print(f"note: {warning}", markup=False, soft_wrap=True)
            console.print(f"{job.tasks:,} tasks, {job.rollouts:,} rollouts: every row is right", markup=False)
    return 0
