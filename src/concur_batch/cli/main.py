"""The `concur` command: options and help only. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from concur_batch import __version__
from concur_batch.cli.engine import app as engine_app
from concur_batch.errors import ConcurError, InputError

PROFILE = "qwen3-32b@h100x4"  # simulated, where none is named

app = typer.Typer(
    name="concur",
    help="Run batches of LLM agents on a local SGLang engine without letting its KV cache thrash.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its help imports a Markdown renderer: 0.1 s of CPU for every --help
)
app.add_typer(engine_app)


class OutputFormat(StrEnum):
    """Form of the results beside results.parquet."""

    parquet = "parquet"
    jsonl = "jsonl"
    openai = "openai"


Jobs = Annotated[
    list[str],
    typer.Argument(help="Job files: .jsonl (.gz, .zst), .parquet, globs, or - for standard input.", show_default=False),
]
RunDir = Annotated[Path, typer.Argument(help="A run directory, as made by `concur run`.", show_default=False)]
Engine = Annotated[
    list[str] | None,
    typer.Option("--engine", "-e", help="Base URL of a server; repeatable. Default: sim, the embedded engine."),
]
Model = Annotated[str | None, typer.Option(help="Model name. Default: what the engine serves.")]
Agent = Annotated[str | None, typer.Option(help="react, replay (of a trace), module:callable or FILE.py:callable.")]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tools", help="FILE.py or module with tools, or builtin; repeatable."),
]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", "--max-turns", help="Model calls per rollout.")]
ControllerName = Annotated[
    str | None,
    typer.Option(
        "--controller", "-c", help="forecast, aimd, fixed:N, requests:N, accounting, turnover or off. Default: forecast."
    ),
]
MaxAgents = Annotated[int | None, typer.Option(help="Most live agents under every controller. Default: 1024.")]
Out = Annotated[str | None, typer.Option(help="Run directory. Default: a new one under runs/.")]
Limit = Annotated[int | None, typer.Option(help="Only the first N tasks.")]
Filter = Annotated[str | None, typer.Option("--filter", help="Only tasks whose id matches this regular expression.")]
History = Annotated[str | None, typer.Option(help="Directory of an earlier run, which tells how long its tasks became.")]
Shuffle = Annotated[int | None, typer.Option(help="Random task order from this seed.")]
N = Annotated[int | None, typer.Option("--n", "-n", help="Rollouts per task, where the row does not say.")]
Seed = Annotated[int | None, typer.Option(help="Base seed; rollout k uses seed + k.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Refuse unknown columns.")]
Live = Annotated[bool | None, typer.Option("--live/--no-live", help="Dashboard, or plain lines.")]
FailOnError = Annotated[str | None, typer.Option(help="Failed rollouts allowed before exit code 1: 3 or 5%. Default: 0.")]
Format = Annotated[OutputFormat | None, typer.Option(help="Also write results.jsonl in this form.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file; see docs/configuration.md.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Any configuration key, as in --set controller.alpha=4.")]


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
    }
    raise typer.Exit(take_up(run_dir, options, sets or [], retry_failed=retry_failed, take_over=take_over))


@app.command()
def status(
    run_dir: RunDir,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,  # noqa: FBT002
) -> None:
    """What is finished, failed, running, paused and waiting; works beside a live run."""
    from concur_batch.cli.look import print_status  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(print_status(run_dir, as_json=as_json))


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


@app.command()
def simulate(
    trace: Annotated[
        str | None, typer.Argument(help="Recorded agents, .jsonl or .csv. Default: the generated workload.", show_default=False)
    ] = None,
    profile: Annotated[str, typer.Option(help="MODEL@GPUxTP, or a profile file .toml.")] = PROFILE,
    engines: Annotated[int, typer.Option(min=1, max=64, help="So many equal ones; agents go to the least loaded.")] = 1,
    controller: ControllerName = None,
    agents: Annotated[int | None, typer.Option(min=1, help="The first N of the workload, over again where it has fewer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the workload and the run. Default: 0.")] = None,
    max_agents: Annotated[int | None, typer.Option(help="Most live agents. Default: all.")] = None,
    pool_tokens: Annotated[int | None, typer.Option(help="KV pool. Default: what SGLang would allot.")] = None,
    host_tier: Annotated[float | None, typer.Option(help="Host memory for KV, as a multiple of the pool. Default: none.")] = None,
    server_version: Annotated[str | None, typer.Option(help="Behave as 0.5.23 or 0.5.8. Default: 0.5.23.")] = None,
    context_length: Annotated[int | None, typer.Option(help="Longest conversation in tokens. Default: 131072.")] = None,
    shared_prefix: Annotated[
        int | None, typer.Option(min=0, help="Tokens that all agents of a trace share. Default: what it says, else 4096.")
    ] = None,
    token_scale: Annotated[float, typer.Option(min=0.001, max=1000, help="All token counts times this.")] = 1.0,
    time_scale: Annotated[float, typer.Option(min=0, max=1000, help="All tool times times this.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object and nothing else.")] = False,  # noqa: FBT002
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Run a workload in virtual time against a simulated SGLang: what a controller would do, in seconds and without a GPU."""
    from concur_batch.cli.parts import simulated_urls  # noqa: PLC0415 - help must not pay for it
    from concur_batch.cli.simulate import start  # noqa: PLC0415 - the same

    options = {
        "engine.urls": simulated_urls(profile, engines),
        "controller.name": controller,
        "run.seed": seed,
        "run.max_agents": max_agents,
        "run.out": out,
        "sim.pool_tokens": pool_tokens,
        "sim.host_tier": host_tier,
        "sim.server_version": server_version,
        "sim.context_length": context_length,
    }
    raise typer.Exit(
        start(
            trace,
            options,
            sets or [],
            config,
            agents=agents,
            shared_tokens=shared_prefix,
            token_scale=token_scale,
            time_scale=time_scale,
            as_json=as_json,
        )
    )


@app.command()
def compare(
    work: Annotated[
        str | None,
        typer.Argument(
            metavar="TRACE|JOBS",
            help="Recorded agents, .jsonl or .csv; with --engine .jsonl, or a job file. Default: the generated workload.",
            show_default=False,
        ),
    ] = None,
    controllers: Annotated[
        str,
        typer.Option(
            "--controllers",
            "-c",
            help="Names with commas; the first is what others are compared with. fixed:auto is the best of all fixed windows: "
            "it takes some 15 runs per seed, which on a server is long.",
        ),
    ] = "off,aimd,forecast",
    seed: Annotated[int | None, typer.Option(help="The first seed, of workload and run. Default: 0.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="So many seeds from there on; the table shows means.")] = 1,
    agents: Annotated[int | None, typer.Option(min=1, help="The first N of the workload or the job.")] = None,
    max_agents: Annotated[int | None, typer.Option(help="Most live agents under every controller.")] = None,
    history: History = None,
    shared_prefix: Annotated[
        int | None, typer.Option(min=0, help="Tokens that all agents of a trace share. Default: what it says, else 4096.")
    ] = None,
    token_scale: Annotated[float, typer.Option(min=0.001, max=1000, help="All token counts of a trace times this.")] = 1.0,
    time_scale: Annotated[float, typer.Option(min=0, max=1000, help="All tool times of a trace times this.")] = 1.0,
    profile: Annotated[
        str | None, typer.Option(help="Simulated: MODEL@GPUxTP, or a profile file .toml. Default: qwen3-32b@h100x4.")
    ] = None,
    engines: Annotated[int | None, typer.Option(min=1, max=64, help="Simulated: so many equal ones. Default: 1.")] = None,
    pool_tokens: Annotated[int | None, typer.Option(help="Simulated: KV pool of each. Default: what SGLang would allot.")] = None,
    host_tier: Annotated[float | None, typer.Option(help="Simulated: host memory for KV, as a multiple of the pool.")] = None,
    server_version: Annotated[str | None, typer.Option(help="Simulated: behave as 0.5.23 or 0.5.8. Default: 0.5.23.")] = None,
    context_length: Annotated[
        int | None, typer.Option(help="Simulated: longest conversation in tokens. Default: 131072.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Simulated: runs side by side. Default: the number of cores.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", "-e", help="URL of an SGLang server: real runs, one after the other, its cache emptied before each."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="On a server: the model. Default: what it serves.")] = None,
    agent: Annotated[str | None, typer.Option(help="On a server: as in `run`. Default: replay for a trace, else react.")] = None,
    tools: Annotated[list[str] | None, typer.Option("--tools", help="On a server: as in `run`; repeatable.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="On a server: folder for the run directories. Default: runs/compare-...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every run, and nothing else.")] = False,  # noqa: FBT002
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """The same agents under several controllers: simulated side by side, or on a server of yours one after the other."""
    simulated = {
        "--profile": profile,
        "--engines": engines,
        "--pool-tokens": pool_tokens,
        "--host-tier": host_tier,
        "--server-version": server_version,
        "--context-length": context_length,
        "--workers": workers,
    }
    served = {"--model": model, "--agent": agent, "--tools": tools, "--out": out}
    for name, value in (served if engine is None else simulated).items():
        if value not in (None, []):
            where = (
                "runs on a server; name it by --engine URL" if engine is None else "simulated runs, and --engine names a server"
            )
            raise InputError(f"{name}: is for {where}")
    if engine is not None:
        from concur_batch.cli.compare_live import Live, start_live  # noqa: PLC0415 - help must not pay for it

        if work is None:
            raise InputError("--engine: needs something to run: name a trace, or a job file")
        options = {
            "engine.urls": [engine],
            "engine.model": model,
            "tools.sources": tools,
            "run.seed": seed,
            "run.max_agents": max_agents,
            "run.history": history,
            "run.limit": agents,
            "replay.shared_tokens": shared_prefix,
            "replay.token_scale": None if token_scale == 1.0 else token_scale,
            "replay.time_scale": None if time_scale == 1.0 else time_scale,
        }
        live = Live(work=work, agent=agent, out=out)
        raise typer.Exit(start_live(live, controllers, options, sets or [], config, seeds=seeds, as_json=as_json))

    from concur_batch.cli.compare import start_simulated  # noqa: PLC0415 - help must not pay for it
    from concur_batch.cli.parts import simulated_urls  # noqa: PLC0415 - the same
    from concur_batch.cli.simulate import Load  # noqa: PLC0415 - the same

    load = Load(trace=work, agents=agents, shared_tokens=shared_prefix, token_scale=token_scale, time_scale=time_scale)
    options = {
        "engine.urls": simulated_urls(profile or PROFILE, engines or 1),
        "run.seed": seed,
        "run.max_agents": max_agents,
        "run.history": history,
        "sim.pool_tokens": pool_tokens,
        "sim.host_tier": host_tier,
        "sim.server_version": server_version,
        "sim.context_length": context_length,
    }
    raise typer.Exit(
        start_simulated(load, controllers, options, sets or [], config, seeds=seeds, workers=workers, as_json=as_json)
    )


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
