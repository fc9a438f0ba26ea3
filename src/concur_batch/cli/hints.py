"""How far tasks are expected to go, from an earlier run or, in simulations, from the truth; and the order that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from concur_batch.cli import directory
from concur_batch.config import Config
from concur_batch.config.places import placing
from concur_batch.errors import RunDirectoryError
from concur_batch.jobs.hints import EarlierContexts, Hints
from concur_batch.jobs.job import Job
from concur_batch.jobs.ordered import long_in_time
from concur_batch.sim.workload import AgentTrace, hinted
from concur_batch.task import Task

_ORDERING = frozenset({"forecast"})  # controllers; under the others, which it is compared with, a job keeps its order


def from_config(config: Config) -> Hints:
    """What is known besides the rows. Raises RunDirectoryError where `run.history` names no run, or one without results."""
    return Hints(scale=config.replay.token_scale, earlier=_earlier(config.run.history))


def are_ordering(config: Config) -> bool:
    """Whether tasks that are expected to go far start earlier than they stand in the job, where it is known of any."""
    ordering = config.controller.name.partition(":")[0] in _ORDERING
    return ordering and config.run.order == "auto" and config.run.shuffle is None


def notes(config: Config, job: Job) -> list[str]:
    """What the user should know before the job is run: in which order, and whether the history fits."""
    told = []
    if config.run.history is not None and not job.hinted:
        told.append(f"{config.run.history}: tells nothing of this job's tasks: {why_nothing(config.run.history)}")
    if job.hinted and job.tasks > 1 and are_ordering(config):
        told.append(
            f"long tasks start earlier, by the expected tokens of {job.hinted:,} of {job.tasks:,}; "
            "--set run.order=job keeps the job's order"
        )
    return told


def why_nothing(history: str) -> str:
    """An earlier run that can be read tells nothing of any of these tasks."""
    from concur_batch.results.contexts import contexts  # noqa: PLC0415 - pyarrow, only where there is a history

    if next(contexts(Path(history)), None) is None:
        return "none of its rollouts had a reply and no error, or its engine counted no tokens"
    return "there is none of the same id that had a reply and no error"


def simulated(traces: Sequence[AgentTrace], tasks: Sequence[Task], config: Config) -> Sequence[Task]:
    """The tasks of these agents with what is expected of them, in running order."""
    if config.sim.hint_sigma is not None:
        guessed = hinted(traces, config.sim.hint_sigma, config.run.seed)
        tasks = [replace(task, expected_tokens=one.expected_tokens) for task, one in zip(tasks, guessed, strict=True)]
    with placing(config, "run.history"):
        earlier = _earlier(config.run.history)
    if earlier is not None:
        tasks = [replace(task, expected_tokens=task.expected_tokens or earlier.get(task.id)) for task in tasks]
    if are_ordering(config):
        return [tasks[position] for position in long_in_time([task.expected_tokens or 0 for task in tasks])]
    return tasks


def _earlier(history: str | None) -> EarlierContexts | None:
    if history is None:
        return None
    from concur_batch.results.contexts import contexts  # noqa: PLC0415 - pyarrow, only where there is a history

    try:
        directory.read(Path(history))
        return EarlierContexts(contexts(Path(history)))
    except RunDirectoryError as error:
        raise RunDirectoryError(f"--history {error}") from error
