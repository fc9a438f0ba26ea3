"""The commands `simulate` and `compare`: options only, as in `main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concur_batch.cli.options import ConfigFile, ControllerName, History, Sets, number, whole
from concur_batch.errors import InputError

PROFILE = "qwen3-32b@h100x4"  # simulated, where none is named
MOST_AGENTS = 1_000_000  # as the generator has it, whose import help need not pay for


def simulate(
    trace: Annotated[
        str | None, typer.Argument(help="Recorded agents, .jsonl or .csv. Default: the generated workload.", show_default=False)
    ] = None,
    profile: Annotated[str, typer.Option(help="MODEL@GPUxTP, or a profile file .toml.")] = PROFILE,
    engines: Annotated[int, whole("So many equal ones; agents go to the least loaded.", least=1, most=64)] = 1,
    controller: ControllerName = None,
    agents: Annotated[
        int | None, whole("The first N of the workload, over again where it has fewer.", least=1, most=MOST_AGENTS)
    ] = None,
    seed: Annotated[int | None, whole("Of the workload and the run. Default: 0.")] = None,
    max_agents: Annotated[int | None, whole("Most live agents. Default: all.")] = None,
    pool_tokens: Annotated[int | None, whole("KV pool. Default: what SGLang would allot.")] = None,
    host_tier: Annotated[float | None, number("Host memory for KV, as a multiple of the pool. Default: none.")] = None,
    server_version: Annotated[str | None, typer.Option(help="Behave as 0.5.23 or 0.5.8. Default: 0.5.23.")] = None,
    context_length: Annotated[int | None, whole("Longest conversation in tokens. Default: 131072.")] = None,
    shared_prefix: Annotated[
        int | None, whole("Tokens that all agents of a trace share. Default: what it says, else 4096.", least=0)
    ] = None,
    token_scale: Annotated[float, number("All token counts times this.", least=0.001, most=1000)] = 1.0,
    time_scale: Annotated[float, number("All tool times times this.", least=0, most=1000)] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object and nothing else.")] = False,  # noqa: FBT002
    out: Annotated[str | None, typer.Option(help="Also write a run directory, as `run` does. Default: none is written.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Run a workload in virtual time against a simulated SGLang: what a controller would do, in seconds and without a GPU."""
    from concur_batch.cli.trial.simulate import Load, start  # noqa: PLC0415 - help must not pay for it

    load = Load(trace=trace, agents=agents, shared_tokens=shared_prefix, token_scale=token_scale, time_scale=time_scale)
    options = {
        "engine.urls": _engines(profile, engines),
        "controller.name": controller,
        "run.seed": seed,
        "run.max_agents": max_agents,
        "run.out": out,
        "sim.pool_tokens": pool_tokens,
        "sim.host_tier": host_tier,
        "sim.server_version": server_version,
        "sim.context_length": context_length,
    }
    raise typer.Exit(start(load, options, sets or [], config, as_json=as_json))


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
    seed: Annotated[int | None, whole("The first seed, of workload and run. Default: 0.")] = None,
    seeds: Annotated[int, whole("So many seeds from there on; the table shows means.", least=1, most=1000)] = 1,
    agents: Annotated[int | None, whole("The first N of the workload or the job.", least=1, most=MOST_AGENTS)] = None,
    max_agents: Annotated[int | None, whole("Most live agents under every controller.")] = None,
    history: History = None,
    shared_prefix: Annotated[
        int | None, whole("Tokens that all agents of a trace share. Default: what it says, else 4096.", least=0)
    ] = None,
    token_scale: Annotated[float, number("All token counts of a trace times this.", least=0.001, most=1000)] = 1.0,
    time_scale: Annotated[float, number("All tool times of a trace times this.", least=0, most=1000)] = 1.0,
    profile: Annotated[
        str | None, typer.Option(help="Simulated: MODEL@GPUxTP, or a profile file .toml. Default: qwen3-32b@h100x4.")
    ] = None,
    engines: Annotated[int | None, whole("Simulated: so many equal ones. Default: 1.", least=1, most=64)] = None,
    pool_tokens: Annotated[int | None, whole("Simulated: KV pool of each. Default: what SGLang would allot.")] = None,
    host_tier: Annotated[float | None, number("Simulated: host memory for KV, as a multiple of the pool.")] = None,
    server_version: Annotated[str | None, typer.Option(help="Simulated: behave as 0.5.23 or 0.5.8. Default: 0.5.23.")] = None,
    context_length: Annotated[int | None, whole("Simulated: longest conversation in tokens. Default: 131072.")] = None,
    workers: Annotated[int | None, whole("Simulated: runs side by side. Default: the number of cores.", least=1)] = None,
    engine: Annotated[
        list[str] | None,
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
    for name, value in (simulated if engine else served).items():
        if value not in (None, []):
            where = "simulated runs, and --engine names a server" if engine else "runs on a server; name it by --engine URL"
            raise InputError(f"{name}: is for {where}")
    if engine:
        from concur_batch.cli.trial.compare_live import Live, start_live  # noqa: PLC0415 - help must not pay for it

        if work is None:
            raise InputError("--engine: needs something to run: name a trace, or a job file")
        options = {
            "engine.urls": engine,
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

    from concur_batch.cli.trial.compare import start_simulated  # noqa: PLC0415 - help must not pay for it
    from concur_batch.cli.trial.simulate import Load  # noqa: PLC0415 - the same

    load = Load(trace=work, agents=agents, shared_tokens=shared_prefix, token_scale=token_scale, time_scale=time_scale)
    options = {
        "engine.urls": _engines(PROFILE if profile is None else profile, engines or 1),
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


def _engines(profile: str, engines: int) -> list[str]:
    from concur_batch.cli.parts import simulated_urls  # noqa: PLC0415 - help must not pay for it

    if not profile.strip():
        raise InputError("--profile: names no engine; give MODEL@GPUxTP, or a profile file .toml")
    return simulated_urls(profile, engines)
