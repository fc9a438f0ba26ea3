"""`concur validate`: settings and every row of a job, checked as `run` would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.cli import parts
from concur_batch.config import Config, resolve
from concur_batch.config.places import placing
from concur_batch.jobs.job import Job
from concur_batch.jobs.load import load
from concur_batch.results.visible import visible
from concur_batch.toolbox.load import load_tools


def print_validation(jobs: Sequence[str], options: Mapping[str, Any], sets: Sequence[str], config_file: Path | None) -> int:
    """Settings and every row checked as `run` would, without asking an engine. Raises InputError with what is wrong; returns the exit code."""
    config = parts.for_agent(resolve(options, sets, config_file, os.environ))
    parts.check_choices(config)
    with checked(jobs, config) as job:
        console = Console(highlight=False)
        for warning in job.warnings:
            console.out(f"note: {visible(warning)}", highlight=False)
        console.out(f"{_count(job.tasks, 'task')}, {_count(job.rollouts, 'rollout')}: every row is right", highlight=False)
    return 0


@contextmanager
def checked(jobs: Sequence[str], config: Config) -> Iterator[Job]:
    """The job as `run` would take it; nothing of it is kept. Raises InputError with what is wrong in it."""
    with tempfile.TemporaryDirectory() as folder:
        with placing(config, "tools.sources"):
            tools = load_tools(config.tools.sources, limits=parts.tool_limits(config), workspaces=Path(folder))
        with placing(config, "run.history"):
            options = parts.load_options(config, tools)
        with load(list(jobs), options, spool=Path(folder)) as job:
            yield job


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
