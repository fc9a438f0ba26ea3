"""`concur simulate`: a workload from a trace or the generator, one simulated run, what came of it."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from concur_batch.cli import directory, hints, parts
from concur_batch.cli.trial import progress
from concur_batch.cli.trial.simulation import Simulated, simulate
from concur_batch.cli.trial.terminable import exit_code, terminable
from concur_batch.config import Config, resolve
from concur_batch.config.model import Agent, shortened
from concur_batch.config.places import placing
from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.jobs.index import IndexWriter, read_index
from concur_batch.jobs.traces import read_traces
from concur_batch.journal.lock import RunLock
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter
from concur_batch.recorder import Sink
from concur_batch.results.comparison import table
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import LONGEST_S, AgentTrace, WorkloadParameters, generate, scaled, take
from concur_batch.state import RunState
from concur_batch.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What simulated agents do, as the options tell it."""

    trace: str | None = None  # a file; None: the generated workload
    agents: int | None = None
    shared_tokens: int | None = None
    token_scale: float = 1.0
    time_scale: float = 1.0

    def traces(self, config: Config) -> list[AgentTrace]:
        """All agents. Raises InputError."""
        with placing(config):
            return self._traces(config)

    def _traces(self, config: Config) -> list[AgentTrace]:
        if self.trace is None and self.shared_tokens is not None:
            raise InputError("--shared-prefix: is for traces; for the generated workload give --set workload.shared_tokens")
        if self.trace is not None and config.workload:
            raise InputError(f"workload.{next(iter(config.workload))}: is for the generated workload, and a trace is given")
        traces = workload(self.trace, config, agents=self.agents, shared_tokens=self.shared_tokens)
        if (self.token_scale, self.time_scale) == (1.0, 1.0):
            return traces
        traces = [scaled(one, self.token_scale, self.time_scale) for one in traces]
        if max((seconds for one in traces for seconds in one.tool_seconds), default=0.0) > LONGEST_S:
            raise InputError(f"--time-scale {self.time_scale:g}: makes a tool call last longer than a week; give a smaller one")
        return traces


def start(load: Load, options: Mapping[str, Any], sets: Sequence[str], config_file: Path | None, *, as_json: bool) -> int:
    """Run it and print. Returns the exit code; raises ConcurError."""
    config = resolved(options, sets, config_file)
    try:
        with terminable():
            done = _run(load, config)
    except KeyboardInterrupt as end:
        progress.clear()
        print("concur: interrupted", file=sys.stderr)  # noqa: T201 - the command's only words
        return exit_code(end)
    _print(done, as_json=as_json)
    return 1 if done.figures["statuses"].get("error") else 0


def _run(load: Load, config: Config) -> Simulated:
    traces = load.traces(config)
    config = with_all_live(config, len(traces))
    parts.check_choices(config)
    jobs = list(tasks(traces))
    note_history(traces, jobs, config)
    if config.run.out is None:
        return simulate(traces, jobs, config, progress=_shown)
    return _in_directory(traces, jobs, config, load.trace or "generated")


def resolved(options: Mapping[str, Any], sets: Sequence[str], config_file: Path | None) -> Config:
    """The configuration as simulations take it, its engines those of the options, whatever else names some. Raises InputError."""
    others = {key: value for key, value in options.items() if key != _ENGINES}
    config = configured(resolve(others, sets, config_file, os.environ))
    engine = config.engine.model_copy(update={"urls": options[_ENGINES]})
    return config.model_copy(update={"engine": engine, "sources": config.sources | {_ENGINES: "option --profile"}})


_ENGINES = "engine.urls"
_INSTEAD = {  # keys that are for job files, servers and real time, and what to do instead
    _ENGINES: "give --profile, and --engines for several",
    "run.n": "each agent runs once, so give --agents for more",
    "run.limit": "give --agents",
    "engine.model": "give --profile",
    "run.fail_on_error": "its exit code is 1 where any agent ends with an error, so leave it out",
    "sim.speed": "virtual time has none, so leave it out",
    "replay.token_scale": "give --token-scale",
    "replay.time_scale": "give --time-scale",
    "replay.shared_tokens": "give --shared-prefix",
}
_UNUSED = (  # the same without, by how they begin
    "run.filter",
    "run.shuffle",
    "run.strict",
    "run.live",
    "run.max_attempts",
    "run.on_exit",
    "run.metrics_",
    "run.otel",
    "engine.api_key",
    "engine.request_timeout_s",
    "engine.start_wait_s",
    "engine.wait_s",
    "agent.",
    "tools.",
)


def configured(config: Config) -> Config:
    """The configuration as simulations take it: agents are bounded by the context alone, unless it says otherwise.

    What is for other commands is refused where it is given to this one, and passed over in a file or variable. Raises InputError.
    """
    for key, source in config.sources.items():
        if source.startswith("--set") and (key in _INSTEAD or key.startswith(_UNUSED)):
            raise InputError(f"--set {key}: means nothing to a simulation; {_INSTEAD.get(key, 'leave it out')}")
    if config.run.seed < 0:  # Python draws the same with it as without its sign
        with placing(config, "run.seed"):
            raise InputError(f"run.seed: should be at least 0 for a simulation, not {config.run.seed}")
    limits = config.limits
    if "limits.max_steps" not in config.sources:
        limits = limits.model_copy(update={"max_steps": None})
    if limits.context_length is None:
        limits = limits.model_copy(update={"context_length": config.sim.context_length or 131_072})
    run = config.run.model_copy(update={"n": 1, "shuffle": None})
    sim = config.sim.model_copy(update={"speed": 1.0})
    return config.model_copy(update={"limits": limits, "run": run, "agent": Agent(), "sim": sim})


def note_history(traces: Sequence[AgentTrace], jobs: Sequence[Task], config: Config) -> None:
    """Say so where an earlier run was named, and these agents were not in it."""
    if config.run.history is None or any(job.expected_tokens for job in hints.simulated(traces, jobs, config)):
        return
    why = hints.why_nothing(config.run.history)
    print(f"note: {config.run.history}: tells nothing of these agents: {why}", file=sys.stderr)  # noqa: T201 - for whoever started it


def with_all_live(config: Config, agents: int) -> Config:
    """All of them may live at once, unless it says otherwise."""
    if "run.max_agents" in config.sources:
        return config
    return config.model_copy(update={"run": config.run.model_copy(update={"max_agents": agents})})


def workload(trace: str | None, config: Config, *, agents: int | None, shared_tokens: int | None = None) -> list[AgentTrace]:
    """The recorded agents of a file, or drawn ones. `agents`: so many, the file's rows over again where it has fewer."""
    if trace is not None:
        recorded = read_traces(trace, limit=agents, shared_tokens=shared_tokens)
        return recorded if agents is None else take(recorded, agents)
    known = [field.name for field in fields(WorkloadParameters)]
    for key in config.workload:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise InputError(
                f"workload.{key}: there is no such parameter"
                + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}")
            )
    given = dict(config.workload)
    if agents is not None:
        given["agents"] = agents
    try:
        parameters = msgspec.convert(given, WorkloadParameters)
    except msgspec.ValidationError as error:
        key = str(error).partition(" - at `$.")[2].rstrip("`")
        kind = "a whole number" if type(getattr(WorkloadParameters, key)) is int else "a number"
        raise InputError(f"workload.{key}: must be {kind}, not {shortened(given[key])}") from None
    return generate(parameters, config.run.seed)


def _in_directory(traces: Sequence[AgentTrace], jobs: Sequence[Task], config: Config, source: str) -> Simulated:
    """The same, written down as `concur run` does."""
    from concur_batch.results.writer import write_results  # noqa: PLC0415 - pyarrow, only where results are written

    run_dir, before = directory.make_new(config.run.out, [source])
    with ExitStack() as stack:
        lock = stack.enter_context(RunLock(run_dir))
        lock.acquire()
        try:
            _write_index(jobs, run_dir / directory.INDEX)
            directory.describe(run_dir, config, [source], simulated=True)
            writer = JournalWriter(run_dir, mend=_AGAIN)
        except BaseException:
            directory.unmake(run_dir, before)
            raise
        stack.callback(writer.close)
        sink: Sink = writer.write
        done = simulate(traces, jobs, config, sink, progress=_shown)
        reader = JournalReader(run_dir)
        stack.callback(reader.close)
        order = read_index(run_dir / directory.INDEX)
        write_results(run_dir, reader, order, output_format=config.run.output_format, mend=_AGAIN)
        lock.release()
    return done


_AGAIN = "mend that, and run `concur simulate` again with another --out"


def _write_index(jobs: Sequence[Task], path: Path) -> None:
    try:
        with IndexWriter(path) as index:
            for task in jobs:
                index.add(task, 1)
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror or error}); mend that, and give the same command again"
        ) from error


def _shown(state: RunState) -> None:
    progress.show(f"{state.elapsed:10,.0f} s simulated, {len(state.ended):,} of {state.rollouts:,} agents done")


def _print(done: Simulated, *, as_json: bool) -> None:
    progress.clear()
    if as_json:
        print(json.dumps(done.figures))  # noqa: T201 - the command's output
        return
    console = Console()
    console.print(table([done.figures]))
    if done.figures["engines"] > 1:
        console.print("\nOver time, on the first engine:")
    console.print(done.timeline.render(min(console.width, 120)))
