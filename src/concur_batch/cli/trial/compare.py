"""`concur compare`: the same agents under several controllers, one table or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from concur_batch.cli import parts
from concur_batch.cli.trial import progress
from concur_batch.cli.trial.covered import covered
from concur_batch.cli.trial.entries import OFF, Entries, Figures, Run, configuration_of, configurations, names_of, with_seed
from concur_batch.cli.trial.side_by_side import Workers, cores
from concur_batch.cli.trial.simulate import Load, note_history, resolved, with_all_live
from concur_batch.cli.trial.simulation import simulate
from concur_batch.cli.trial.terminable import exit_code, terminable
from concur_batch.config import Config
from concur_batch.config.model import Controller
from concur_batch.results.comparison import compared
from concur_batch.results.means import means, under_the_same_seeds
from concur_batch.results.summary import counts, number
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import AgentTrace

Traces = Mapping[int, Sequence[AgentTrace]]  # by seed


class Job(NamedTuple):
    """One simulated run."""

    seed: int
    config: Config


def start_simulated(
    load: Load,
    controllers: str,
    options: Mapping[str, Any],
    sets: Sequence[str],
    config_file: Path | None,
    *,
    seeds: int,
    workers: int | None,
    as_json: bool,
) -> int:
    """Run all and print, also what is done when it is interrupted. Returns the exit code; raises ConcurError."""
    names = names_of(controllers)
    config = resolved(options, sets, config_file)
    entries = Entries((), (), 0)
    try:
        with terminable():
            entries, traces, by_controller = _prepared(load, names, config, seeds)
            _run_all(entries, traces, lambda run: Job(run.seed, configuration_of(run, by_controller)), workers or cores())
    except KeyboardInterrupt as end:
        say("concur: interrupted")
        show(entries, as_json=as_json)
        return exit_code(end)
    return show(entries, as_json=as_json)


def _prepared(load: Load, names: Sequence[str], config: Config, seeds: int) -> tuple[Entries, Traces, Mapping[str, Config]]:
    """What is to be run, with which agents and under which configurations. Raises InputError before anything runs."""
    if load.trace is not None and seeds > 1 and config.sim.hint_sigma is None:
        say("note: a trace is the same under every seed, so it is run with the first alone")
        seeds = 1
    drawn = range(config.run.seed, config.run.seed + seeds)
    traces = {drawn[0]: load.traces(config)}
    for seed in drawn[1:]:
        traces[seed] = traces[drawn[0]] if load.trace is not None else load.traces(with_seed(config, seed))
    config = with_all_live(config, len(traces[drawn[0]]))
    by_controller = configurations(config, names)
    parts.check_choices(next(iter(by_controller.values())).model_copy(update={"controller": Controller(name=OFF)}))
    note_history(traces[drawn[0]], list(tasks(traces[drawn[0]])), config)
    return Entries(names, drawn, min(len(traces[drawn[0]]), config.run.max_agents)), traces, by_controller


def _run_all(entries: Entries, traces: Traces, job_of: Callable[[Run], Job], workers: int) -> None:
    """Until nothing is wanted any more."""
    pool = Workers[Run, Traces, Job, Figures](_simulated, workers, traces)
    try:
        with pool.running():
            while wanted := [*entries.wanted(pool.under_way), *pool.under_way]:
                for run in entries.wanted(pool.under_way):
                    pool.give(run, job_of(run))
                progress.show(_told(entries, wanted))
                entries.came(*pool.next())
    finally:
        progress.clear()


def _simulated(traces: Traces, job: Job) -> Figures:
    """In whatever process."""
    agents = traces[job.seed]
    return simulate(agents, list(tasks(agents)), job.config, progress=lambda _: None).figures


def show(entries: Entries, *, as_json: bool) -> int:
    """Print what is done. Returns the exit code: 1 where agents ended with an error."""
    runs = entries.figures()
    if as_json:
        print(json.dumps({"runs": runs}))  # noqa: T201 - the command's output
    elif runs:
        rows = under_the_same_seeds(runs)
        console = Console(highlight=False)
        console.print(compared(means(rows), console.width))
        for line in [*covered(entries, rows), *notes(rows)]:
            console.out(line, highlight=False)
    return 1 if any(run["statuses"].get("error") for run in runs) else 0


def notes(runs: Sequence[Figures]) -> Iterator[str]:
    """What one has to know before one compares the rows."""
    seeds = {run["seed"] for run in runs}
    for run in runs:
        ended = {status: count for status, count in run["statuses"].items() if status != "completed"}
        if ended:
            which = f"{run['controller']}, seed {run['seed']}" if len(seeds) > 1 else run["controller"]
            yield f"{which}: not all agents completed: {counts(run['statuses'])}"


def _told(entries: Entries, wanted: Sequence[Run]) -> str:
    """What is done of all that is done, under way or waiting."""
    done = list(entries.done)
    told = f"{len(done)} of {len(done) + len(wanted)} runs done"
    return f"{told}; {done[-1]}: {number(entries.done[done[-1]]['makespan_s'])} s" if done else told


def say(text: str) -> None:
    """To whoever started it; standard output is for the figures."""
    print(text, file=sys.stderr)  # noqa: T201 - the command's words
