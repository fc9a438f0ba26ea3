"""The tools that each task's model was offered, found anew from job files and tool sources: the journal does not hold them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from concur_batch.agent.recorded import REPLAY
from concur_batch.cli import directory, parts
from concur_batch.config import Config, from_saved
from concur_batch.errors import ConcurError
from concur_batch.jobs.difference import compare_index
from concur_batch.jobs.load import load
from concur_batch.jobs.sources import STDIN_FILE
from concur_batch.plan import Schemas
from concur_batch.results.export import Tools
from concur_batch.toolbox.load import load_tools


@contextmanager
def offered(run_dir: Path) -> Iterator[tuple[Tools, str | None]]:
    """Gives the tools by task id, and why they are not known where they are not (then it finds none)."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[dict[str, Any]]] = {}
        why = None
        try:
            found = _by_task(run_dir, Path(folder))
        except ConcurError as error:
            why = str(error)
        yield found.get, why


def _by_task(run_dir: Path, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """One list for all tasks that offer the same. Raises ConcurError where job or tools are no longer what they were."""
    saved = directory.read(run_dir)
    if saved.get("simulated"):
        return {}
    config = _plain(from_saved(saved["config"], cli={}, env=os.environ, place=str(run_dir / directory.CONFIG)))
    if config.agent.name == REPLAY:
        return {}
    parts.check_default_agent(config)
    tools = load_tools(config.tools.sources, workspaces=folder, begun=True)  # none is called: their limits do not matter
    options = replace(parts.load_options(config, tools, require_script=False), long_in_time=False)
    files = [str(run_dir / STDIN_FILE) if job == "-" else job for job in saved["jobs"]]
    schemas = Schemas(tools)
    with load(files, options, spool=folder, with_index=True) as job:
        compare_index(run_dir / directory.INDEX, job).raise_if_refused()
        return {task.id: schemas.of(task.tools) for task in job}


def _plain(config: Config) -> Config:
    """Without what decides only the running order."""
    run = config.run.model_copy(update={"history": None, "shuffle": None if config.run.limit is None else config.run.shuffle})
    return config.model_copy(update={"run": run})
