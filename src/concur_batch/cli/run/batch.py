"""`concur run` and `concur resume`: from options to a checked job in a claimed directory, one segment, its results."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch.agent.replay import History
from concur_batch.cli import directory, hints, parts
from concur_batch.cli.run import tools_seen
from concur_batch.cli.run.finish import finish
from concur_batch.cli.run.on_exit import tell
from concur_batch.cli.run.segment import Batch, Outcome, leave_log, run_segment, write_closing_segment
from concur_batch.config import Config, from_saved, resolve
from concur_batch.config.keys import Given
from concur_batch.config.places import placing
from concur_batch.config.resolve import command_line
from concur_batch.config.saved import was_redacted
from concur_batch.errors import ERROR_CLASSES, ConcurError, InputError, RunDirectoryError
from concur_batch.jobs.difference import compare_index
from concur_batch.jobs.faults import JobFaults
from concur_batch.jobs.index import entries, write_index
from concur_batch.jobs.load import load
from concur_batch.jobs.sources import STDIN, STDIN_FILE
from concur_batch.journal.lock import RunLock
from concur_batch.journal.reader import JournalReader
from concur_batch.plan import Retry, is_done
from concur_batch.results.visible import visible
from concur_batch.state import RunState
from concur_batch.toolbox.load import load_tools

_FIXED_ON_RESUME = (
    ("agent",),
    ("replay",),
    ("sampling",),
    ("tools", "sources"),
    ("engine", "model"),
    ("run", "out"),
    ("run", "seed"),
    ("run", "shuffle"),
    ("run", "filter"),
    ("run", "limit"),
)


def start(jobs: Sequence[str], options: Mapping[str, Any], sets: Sequence[str], config_file: Path | None) -> int:
    """A new run. Returns the exit code; raises ConcurError."""
    config = parts.for_agent(parts.with_absolute_paths(resolve(options, sets, config_file, os.environ)))
    parts.check_choices(config)
    return begin(jobs, config, directory.make_new(config.run.out, jobs), Console(), keys="-" not in jobs)


def begin(
    jobs: Sequence[str], config: Config, made: directory.Made, console: Console, *, keys: bool = False, alone: bool = True
) -> int:
    """The same in a directory that was made; display and summary go to `console`. `keys`: a person may steer. `alone`: no comparison's."""
    run_dir, before = made
    with ExitStack() as stack:
        lock = stack.enter_context(RunLock(run_dir))
        lock.acquire()
        try:
            with placing(config, "tools.sources"):
                tools = load_tools(
                    config.tools.sources, limits=parts.tool_limits(config), workspaces=run_dir / directory.WORKSPACES
                )
            with placing(config, "run.history"):
                options = parts.load_options(config, tools)
            where = [job if job in ("-", "") else str(Path(job).absolute()) for job in jobs]
            job = stack.enter_context(load(where, options, spool=run_dir, with_index=True))
            write_index(job, run_dir / directory.INDEX)
            directory.describe(run_dir, config, where, tools=tools_seen.seen(job, tools))
        except JobFaults as wrong:
            directory.unmake(run_dir, before)
            raise wrong.seen_from(Path.cwd()) from None
        except BaseException:
            directory.unmake(run_dir, before)
            raise
        _warn([*job.warnings, *hints.notes(config, job)])
        batch = Batch(
            run_dir=run_dir,
            config=config,
            job=job,
            toolbox=tools,
            history=History(),
            state=RunState(),
            retry=Retry(),
            settle=lambda: directory.link_latest(run_dir),
            console=console,
            keys=keys,
            alone=alone,
        )
        try:
            return _run(batch, lock)
        finally:
            if batch.segment is None:  # nothing has begun: the same command may be given again
                job.close()
                leave_log()
                directory.unmake(run_dir, before)


def take_up(run_dir: Path, options: Mapping[str, Any], sets: Sequence[str], *, retry_failed: str | None, take_over: bool) -> int:
    """Go on with a run. Returns the exit code; raises ConcurError."""
    saved = directory.read(run_dir)
    if saved.get("simulated"):
        raise RunDirectoryError(f"{run_dir}: is a simulation, which is not resumed; run `concur simulate` again")
    classes = _classes(retry_failed)
    _check_overrides(command_line(options, sets), saved["config"])
    config = from_saved(saved["config"], cli=options, sets=sets, env=os.environ, place=str(run_dir / directory.CONFIG))
    config = parts.for_agent(parts.with_absolute_paths(config))
    parts.check_choices(config)
    with ExitStack() as stack:
        lock = stack.enter_context(RunLock(run_dir))
        lock.acquire(take_over=take_over)
        directory.refuse_lost(run_dir)
        _refuse_lost_stdin(run_dir, saved["jobs"])
        workspaces = run_dir / directory.WORKSPACES
        tools = load_tools(config.tools.sources, limits=parts.tool_limits(config), workspaces=workspaces, begun=True)
        job = stack.enter_context(load(saved["jobs"], parts.load_options(config, tools), spool=run_dir, with_index=True))
        index = run_dir / directory.INDEX
        if index.exists():
            compare_index(index, job).raise_if_refused()

        now_seen = tools_seen.seen(job, tools)

        def settle() -> None:
            write_index(job, index)
            directory.describe(run_dir, config, saved["jobs"], tools=now_seen)

        _warn([*job.warnings, *hints.notes(config, job)])
        history, state = History(), RunState()
        for record in JournalReader(run_dir).records():
            history.apply(record)
            state.apply(record)
        history.close()
        retry = Retry(classes=classes, max_attempts=config.run.max_attempts)
        _warn(_spent(history, retry))
        batch = Batch(
            run_dir=run_dir,
            config=config,
            job=job,
            toolbox=tools,
            history=history,
            state=state,
            retry=retry,
            settle=settle,
            keys=True,
        )
        if is_done(((entry.id, entry.n) for entry in entries(job)), history, retry):
            return _close(batch, lock)
        _warn([*tools_seen.changes(saved.get("tools_seen"), now_seen, tools.offered), *tools_seen.notes(tools)])
        return _run(batch, lock)


def _close(batch: Batch, lock: RunLock) -> int:
    """Results of a run that has nothing left to do; no engine is needed, and no setting changes. Returns the exit code."""
    write_index(batch.job, batch.run_dir / directory.INDEX)
    untold = batch.state.finished != "finished"  # the last process ended before it could say so
    if untold:
        write_closing_segment(batch)
    outcome = Outcome(cause="finished")
    try:
        code = finish(batch, outcome)
    except ConcurError as error:
        if untold:
            lock.release()
            tell(batch, outcome, error.exit_code)
        raise
    again = replace(batch.retry, classes=frozenset())
    failed = sum(again.wants(ended) for ended in batch.history.ended.values()) if batch.retry.classes is None else 0
    offer = f"; --retry-failed tries the {failed:,} that failed again" if failed else ""
    ended = "its rollout has" if batch.job.rollouts == 1 else f"all {batch.job.rollouts:,} rollouts have"
    _warn([f"nothing was left to run: {ended} ended{offer}"])
    if untold:
        lock.release()
        tell(batch, outcome, code)
    return code


def _run(batch: Batch, lock: RunLock) -> int:
    """The segment, and whatever became of it, the results, and whom the user wants told. One that never began leaves all as it was."""
    try:
        outcome = run_segment(batch)
    except ConcurError as error:
        if batch.segment is None:
            raise
        outcome = Outcome(cause="failed", error=error)
    try:
        code = finish(batch, outcome)
    except ConcurError as error:
        lock.release()
        tell(batch, outcome, error.exit_code)
        raise
    lock.release()
    tell(batch, outcome, code)
    return code


def _refuse_lost_stdin(run_dir: Path, jobs: Sequence[str]) -> None:
    """Raises RunDirectoryError where the job of a run was standard input and is there no more: what is read there now is none of it."""
    if STDIN in jobs and not (run_dir / STDIN_FILE).exists():
        raise RunDirectoryError(
            f"{run_dir}: has lost its {STDIN_FILE}, the job that it read from standard input; put it back, or start a new run"
        )


def _check_overrides(given: Sequence[Given], saved: Mapping[str, Any]) -> None:
    """What the model sees cannot change in mid-run: the journal's answers would no longer fit. A secret can only be given again."""
    for one in given:
        is_fixed = any(one.path[: len(fixed)] == fixed for fixed in _FIXED_ON_RESUME)
        if is_fixed and not was_redacted(saved, one.path):
            raise InputError(f"{one.dotted}: cannot change when a run is resumed; start a new run with it")


def _classes(retry_failed: str | None) -> frozenset[str] | None:
    if retry_failed is None:
        return None
    classes = frozenset() if retry_failed in ("", "all") else frozenset(retry_failed.split(","))
    unknown = classes.difference(ERROR_CLASSES)
    if unknown:
        raise InputError(
            f"--retry-failed={retry_failed}: no error class {min(unknown)!r}; known: {', '.join(sorted(ERROR_CLASSES))}"
        )
    return classes


def _spent(history: History, retry: Retry) -> list[str]:
    """What to say of failed rollouts that would be tried again, had they not had all their attempts."""
    wanted = replace(retry, max_attempts=sys.maxsize)
    spent = [ended.attempt for ended in history.ended.values() if wanted.wants(ended) and not retry.wants(ended)]
    if not spent:
        return []
    has, its = ("rollout has", "its") if len(spent) == 1 else ("rollouts have", "their")
    allowed = f"{its} {retry.max_attempts} attempts" if retry.max_attempts > 1 else f"{its} 1 attempt"
    return [f"{len(spent):,} failed {has} had {allowed}; --set run.max_attempts={max(spent) + 1} allows one more"]


def _warn(warnings: Sequence[str]) -> None:
    console = Console(file=sys.stderr, highlight=False)
    for warning in warnings:
        console.out(f"note: {visible(warning)}", highlight=False)
