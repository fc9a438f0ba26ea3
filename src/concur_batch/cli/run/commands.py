"""The commands `run`, `resume` and `validate`: options and help only. Each imports what it needs when it runs."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from concur_batch.cli.options import (
    Agent,
    ConfigFile,
    ControllerAgain,
    ControllerName,
    Engine,
    EngineAgain,
    FailOnError,
    FailOnErrorAgain,
    Filter,
    Format,
    History,
    Jobs,
    Limit,
    Live,
    MaxAgents,
    MaxAgentsAgain,
    MaxSteps,
    MetricsPort,
    Model,
    N,
    OnExit,
    Otel,
    Out,
    RunDir,
    Seed,
    Sets,
    Shuffle,
    Strict,
    Tools,
    number,
)


class _Given(NamedTuple):
    """A command line of `run`, which `validate` takes as well."""

    jobs: list[str]
    options: dict[str, Any]
    sets: list[str]
    config: Path | None


def _given(
    jobs: Jobs,
    engine: Engine = None,
    model: Model = None,
    agent: Agent = None,
    tools: Tools = None,
    max_steps: MaxSteps = None,
    controller: ControllerName = None,
    max_agents: MaxAgents = None,
    limit: Limit = None,
    filter_: Filter = None,
    shuffle: Shuffle = None,
    history: History = None,
    n: N = None,
    seed: Seed = None,
    strict: Strict = None,
    token_scale: Annotated[float | None, number("With --agent replay: all token counts times this.")] = None,
    time_scale: Annotated[float | None, number("With --agent replay: all tool times times this.")] = None,
    out: Out = None,
    live: Live = None,
    fail_on_error: FailOnError = None,
    output_format: Format = None,
    on_exit: OnExit = None,
    metrics_port: MetricsPort = None,
    otel: Otel = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> _Given:
    options = {
        "engine.urls": engine,
        "engine.model": model,
        "agent.name": agent,
        "tools.sources": tools,
        "limits.max_steps": max_steps,
        "controller.name": controller,
        "run.max_agents": max_agents,
        "run.limit": limit,
        "run.filter": filter_,
        "run.shuffle": shuffle,
        "run.history": history,
        "run.n": n,
        "run.seed": seed,
        "run.strict": strict,
        "replay.token_scale": token_scale,
        "replay.time_scale": time_scale,
        "run.out": out,
        "run.live": live,
        "run.fail_on_error": fail_on_error,
        "run.output_format": output_format,
        "run.on_exit": on_exit,
        "run.metrics_port": metrics_port,
        "run.otel": otel,
    }
    return _Given(jobs, options, sets or [], config)


@wraps(_given, assigned=("__annotations__",))
def run(*arguments: Any, **options: Any) -> None:
    """Run a batch. Ctrl-C drains to the next step boundary, a second one stops at once; both can be resumed."""
    from concur_batch.cli.run.batch import start  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(start(*_given(*arguments, **options)))


@wraps(_given, assigned=("__annotations__",))
def validate(*arguments: Any, **options: Any) -> None:
    """Check every row of the job files, with the options that `run` will be given; run nothing."""
    from concur_batch.cli.run.validate import print_validation  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(print_validation(*_given(*arguments, **options)))


def resume(
    run_dir: RunDir,
    engine: EngineAgain = None,
    controller: ControllerAgain = None,
    max_agents: MaxAgentsAgain = None,
    n: N = None,
    retry_failed: Annotated[
        str | None,
        typer.Option(
            "--retry-failed", metavar="[=CLASS,...]", help="Also try failed rollouts again: all, or these error classes."
        ),
    ] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="Although a process on another host holds it.")] = False,  # noqa: FBT002
    live: Live = None,
    fail_on_error: FailOnErrorAgain = None,
    output_format: Format = None,
    on_exit: OnExit = None,
    metrics_port: MetricsPort = None,
    otel: Otel = None,
    sets: Sets = None,
) -> None:
    """Go on with a run: unfinished rollouts from their last step, then those never started. What is not given stays as it was."""
    from concur_batch.cli.run.batch import take_up  # noqa: PLC0415 - help must not pay for it

    options: dict[str, Any] = {
        "engine.urls": engine,
        "controller.name": controller,
        "run.max_agents": max_agents,
        "run.n": n,
        "run.live": live,
        "run.fail_on_error": fail_on_error,
        "run.output_format": output_format,
        "run.on_exit": on_exit,
        "run.metrics_port": metrics_port,
        "run.otel": otel,
    }
    raise typer.Exit(take_up(run_dir, options, sets or [], retry_failed=retry_failed, take_over=take_over))
