"""The `concur` command: options and help only. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from concur_batch import __version__
from concur_batch.cli import trials, views
from concur_batch.cli.engine import app as engine_app
from concur_batch.cli.options import (
    Agent,
    ConfigFile,
    ControllerName,
    Engine,
    FailOnError,
    Filter,
    Format,
    History,
    Jobs,
    Limit,
    Live,
    MaxAgents,
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
)
from concur_batch.errors import ConcurError

app = typer.Typer(
    name="concur",
    help="Run batches of LLM agents on a local SGLang engine without letting its KV cache thrash.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its help imports a Markdown renderer: 0.1 s of CPU for every --help
)
app.add_typer(engine_app)


@app.command()
def run(
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
    token_scale: Annotated[float | None, typer.Option(help="With --agent replay: all token counts times this.")] = None,
    time_scale: Annotated[float | None, typer.Option(help="With --agent replay: all tool times times this.")] = None,
    out: Out = None,
    live: Live = None,
    fail_on_error: FailOnError = None,
    output_format: Format = None,
    on_exit: OnExit = None,
    metrics_port: MetricsPort = None,
    otel: Otel = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Run a batch. Ctrl-C drains to the next step boundary, a second one stops at once; both can be resumed."""
    from concur_batch.cli.batch import start  # noqa: PLC0415 - help must not pay for it

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
    raise typer.Exit(start(jobs, options, sets or [], config))


@app.command()
def resume(
    run_dir: RunDir,
    engine: Engine = None,
    controller: ControllerName = None,
    max_agents: MaxAgents = None,
    n: N = None,
    retry_failed: Annotated[
        str | None,
        typer.Option(
            "--retry-failed", metavar="[=CLASS,...]", help="Also try failed rollouts again: all, or these error classes."
        ),
    ] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="Although a process on another host holds it.")] = False,  # noqa: FBT002
    live: Live = None,
    fail_on_error: FailOnError = None,
    output_format: Format = None,
    on_exit: OnExit = None,
    metrics_port: MetricsPort = None,
    otel: Otel = None,
    sets: Sets = None,
) -> None:
    """Go on with a run: unfinished rollouts from their last step, then those never started."""
    from concur_batch.cli.batch import take_up  # noqa: PLC0415 - help must not pay for it

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


@app.command()
def validate(
    jobs: Jobs,
    agent: Agent = None,
    tools: Tools = None,
    n: N = None,
    filter_: Filter = None,
    limit: Limit = None,
    strict: Strict = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Check every row of the job files; run nothing."""
    from concur_batch.cli.look import print_validation  # noqa: PLC0415 - help must not pay for it

    options = {
        "agent.name": agent,
        "tools.sources": tools,
        "run.n": n,
        "run.filter": filter_,
        "run.limit": limit,
        "run.strict": strict,
    }
    raise typer.Exit(print_validation(jobs, options, sets or [], config))


for command in (views.status, views.watch, views.results, views.report, trials.simulate, trials.compare):
    app.command()(command)


def _version(value: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if value:
        typer.echo(f"concur {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,  # noqa: FBT002
) -> None:
    pass


def main() -> None:
    """Entry point. Every error of ours is one sentence on stderr and its exit code."""
    arguments = ["--retry-failed=all" if argument == "--retry-failed" else argument for argument in sys.argv[1:]]
    try:
        app(args=arguments)
    except ConcurError as error:
        typer.echo(f"concur: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("concur: interrupted", err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a fault of ours: still one sentence, with the place for the report
        typer.echo(f"concur: internal fault, please report it: {_place(error)}", err=True)
        sys.exit(4)


def _place(error: Exception) -> str:
    """What and where; the whole trace goes to the run's log where there is one."""
    import logging  # noqa: PLC0415 - only here
    import traceback  # noqa: PLC0415 - only here

    log = logging.getLogger("concur_batch")
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    if logging.getLogger().handlers:
        log.critical("internal fault", exc_info=error)
        return f"{where}; the trace is in the run directory's logs/, and concur resume goes on from the last step"
    return where


if __name__ == "__main__":
    main()
