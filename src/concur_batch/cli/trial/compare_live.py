"""`concur compare --engine URL`: the same job on a real server under several controllers, one after the other."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.agent.recorded import REPLAY
from concur_batch.cli import directory, parts
from concur_batch.cli.run.batch import begin
from concur_batch.cli.run.validate import checked
from concur_batch.cli.trial.compare import say, show
from concur_batch.cli.trial.entries import OFF, Entries, Figures, Run, configuration_of, configurations, names_of
from concur_batch.config import Config, resolve, server_key
from concur_batch.config.model import Controller
from concur_batch.engine.flush import flush
from concur_batch.errors import ConcurError, InputError, RunDirectoryError
from concur_batch.jobs.lines import Located
from concur_batch.jobs.sources import find_sources, read_rows
from concur_batch.journal.reader import JournalReader
from concur_batch.results.tally import Tally
from concur_batch.state import RunState

COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What every run of a comparison works on."""

    work: str
    agent: str | None  # None: `replay` for a trace, else what the configuration says
    out: Path | None


def start_live(
    live: Live,
    controllers: str,
    options: Mapping[str, Any],
    sets: Sequence[str],
    config_file: Path | None,
    *,
    seeds: int,
    as_json: bool,
) -> int:
    """Run one after the other and print. Returns the exit code; raises ConcurError."""
    names = names_of(controllers)
    if live.work == "-":
        raise InputError("-: a comparison reads its job several times; write it to a file and name that")
    agent = live.agent or (REPLAY if _is_trace(live.work) else None)
    config = resolve({**options, "agent.name": agent}, sets, config_file, os.environ)
    if any(parts.is_simulated(url) for url in config.engine.urls):
        raise InputError("--engine: is for the URL of a server; leave it out to simulate, and name the --profile")
    if len(config.engine.urls) > 1:
        raise InputError("--engine: a comparison measures one engine at a time; name one of them")
    for key, source in config.sources.items():
        if source.startswith("--set") and key.startswith(("sim.", "workload.")):
            raise InputError(f"--set {key}: is for simulated runs, and --engine names a server")
    config = parts.for_agent(parts.with_absolute_paths(config))
    by_controller = configurations(config, names)
    parts.check_choices(config.model_copy(update={"controller": Controller(name=OFF)}))
    with checked([live.work], config) as job:
        agents = min(job.rollouts, config.run.max_agents)
    out, before = _folder(live.out)
    entries = Entries(names, range(config.run.seed, config.run.seed + seeds), agents)
    try:
        code = _run_all(live.work, entries, by_controller, out)
    except ConcurError:
        if entries.done:  # what the others came to
            show(entries, as_json=as_json)
            say(_kept(entries, out))
        raise
    finally:
        directory.unmake(out, before)
    failed = show(entries, as_json=as_json)
    say(_kept(entries, out) if code > 1 else f"run directories: {out}")
    return code if code > 1 else failed


def _run_all(work: str, entries: Entries, by_controller: Mapping[str, Config], out: Path) -> int:
    """Until nothing is wanted any more. The exit code of the last; above 1 it was interrupted."""
    code = 0
    try:
        while code <= 1 and (wanted := entries.wanted(by_seed=True)):
            run = wanted[0]
            if sys.stderr.isatty():
                say(f"{len(entries.done) + 1} of {len(entries.done) + len(wanted)}: {run}")
            code, figures = _run(work, run, configuration_of(run, by_controller), out)
            if code <= 1:
                entries.came(run, figures)
                _keep(entries, out)
    except KeyboardInterrupt:
        say("concur: interrupted")
        return 130
    return code


def _run(work: str, run: Run, config: Config, out: Path) -> tuple[int, Figures]:
    """From an empty cache to the end. The exit code, and what it came to; nothing where it was interrupted."""
    url, key = config.engine.urls[0], server_key(config)
    asyncio.run(flush(url, api_key=key))
    made = directory.make_new(str(out / f"{run.controller.replace(':', '-')}-{run.seed}"), [work])
    on_terminal = sys.stderr.isatty()
    began = time.perf_counter()
    code = begin([work], config, made, Console(stderr=True, quiet=not on_terminal), alone=False)
    wall_s = time.perf_counter() - began
    return code, {} if code > 1 else _figures(made.directory, run, wall_s)


def _figures(run_dir: Path, run: Run, wall_s: float) -> Figures:
    """As `concur simulate --json` tells them, from the journal; None is what only a simulation knows."""
    tally, state = Tally(), RunState()
    for record in JournalReader(run_dir).records():
        tally.apply(record)
        state.apply(record)
    seen = next((view.seen for view in state.engines.values() if view.seen is not None), None)
    return {
        "controller": run.controller,
        "profile": seen.model if seen else None,
        "engines": 1,
        "pool_tokens": seen.capacity_tokens if seen else None,
        "agents": state.rollouts,
        "seed": run.seed,
        **tally.figures(),
        "statuses": tally.statuses,
        **dict.fromkeys(("lower_bound_s", "ttft_p50_s", "ttft_p99_s", "retractions", "retracted_tokens")),
        "limit": tally.limit,
        "wall_s": round(wall_s, 3),
    }


def _is_trace(work: str) -> bool:
    """Whether its rows are recorded agents. What is wrong with the file is told when it is read as a job."""
    with tempfile.TemporaryDirectory() as folder:
        sources = find_sources([work], Path(folder))
        first = next(iter(read_rows(sources[0])), None)
    return isinstance(first, Located) and "input_prompt_length" in first.row


def _folder(out: Path | None) -> directory.Made:
    """For the run directories: the one named, which must be new or empty."""
    if out is None:
        return directory.make_under_runs(f"compare-{directory.stamp()}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunDirectoryError(f"{out}: is there already and not empty; give another --out")
    return directory.Made(out, directory.make(out))


def _kept(entries: Entries, out: Path) -> str:
    """What is said of a comparison that was not finished."""
    done = f"{len(entries.done)} run{'s' * (len(entries.done) != 1)}"
    kept = f"{done} that ended: {out / COMPARISON}" if entries.done else "no run has ended"
    return f"the comparison cannot be gone on with, give it again with another --out; {kept}; run directories: {out}"


def _keep(entries: Entries, out: Path) -> None:
    """Every run made so far, those of a sweep too."""
    (out / COMPARISON).write_text(json.dumps({"runs": list(entries.done.values())}, indent=1) + "\n", encoding="utf-8")
