"""`concur engine ...`: options and help of the commands about engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from concur_batch.cli.options import number, seconds, whole
from concur_batch.errors import InputError

app = typer.Typer(
    name="engine",
    help="Check an engine, launch one, simulate one behind HTTP, fit the simulation to one of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ApiKey = Annotated[str | None, typer.Option(help="Default: CONCUR_API_KEY, SGLANG_API_KEY or OPENAI_API_KEY.")]


@app.command()
def check(
    url: Annotated[str, typer.Argument(help="Base URL of a server, with or without /v1.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="Model to ask. Default: the first that is served.")] = None,
    timeout: Annotated[float, seconds("Seconds for each of the few short requests.", least=0.1)] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object and nothing else.")] = False,  # noqa: FBT002
    api_key: ApiKey = None,
) -> None:
    """What a server tells, what is missing, and the flag that gives it. Exit code 0 only if CONCUR can work fully with it."""
    from concur_batch.cli.engine.check import check as run_check  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(run_check(url, api_key=api_key, model=model, timeout_s=timeout, as_json=as_json))


class _Launch(TyperCommand):
    """Says where the flags belong that are SGLang's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if type(error).__name__ != "NoSuchOption":  # whose module differs between releases of typer
                raise
            name = getattr(error, "option_name", "")
            told = f"there is no option {name}; SGLang's own flags come after --, as in `concur engine launch MODEL -- {name}`"
            raise InputError(told) from None


@app.command(cls=_Launch)
def launch(
    model: Annotated[str, typer.Argument(help="Model path or name, for SGLang's --model-path.", show_default=False)],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="-- FLAGS", help="SGLang's own flags, after --.", show_default=False)
    ] = None,
    then: Annotated[
        str | None, typer.Option(help="Command to run beside it, with CONCUR_ENGINE set; the server ends when it does.")
    ] = None,
    port: Annotated[int | None, whole("Port; 0: any free one. Default: 30000, or a free one.", least=0, most=65535)] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    python: Annotated[
        str | None,
        typer.Option(
            help="Python, or folder of the environment, that has SGLang. Default: our own.", envvar="CONCUR_SGLANG_PYTHON"
        ),
    ] = None,
    patience: Annotated[float, seconds("Seconds until it must be ready.", least=0)] = 1800.0,
    log: Annotated[
        Path | None, typer.Option(help="File for its output. Default: standard error; with --then, a temporary file.")
    ] = None,
    session_cache: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option(help="Start it with --enable-session-radix-cache.")
    ] = True,
) -> None:
    """Start SGLang with the flags CONCUR needs, print its URL when it is ready, and serve until Ctrl-C."""
    from concur_batch.cli.engine.launch import Wish  # noqa: PLC0415 - help must not pay for it
    from concur_batch.cli.engine.launch import launch as run_launch  # noqa: PLC0415

    wish = Wish(
        model=model,
        extra=flags or (),
        python=python,
        host=host,
        port=port,
        patience_s=patience,
        log=log,
        then=then,
        session_cache=session_cache,
    )
    raise typer.Exit(run_launch(wish))


@app.command()
def sim(
    port: Annotated[int, whole("Port to listen on; 0: any free one.", least=0, most=65535)] = 30000,
    profile: Annotated[str, typer.Option(help="MODEL@GPUxTP, or a profile file .toml.")] = "qwen3-8b@h100x1",
    speed: Annotated[float | None, number("Engine seconds per second. Default: 1.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    pool_tokens: Annotated[int | None, whole("KV pool. Default: what SGLang would allot.")] = None,
    host_tier: Annotated[float | None, number("Host memory for KV, as a multiple of the pool. Default: none.")] = None,
    server_version: Annotated[str | None, typer.Option(help="Behave as 0.5.23 or 0.5.8. Default: 0.5.23.")] = None,
    context_length: Annotated[int | None, whole("Longest conversation in tokens. Default: the profile's.")] = None,
    chars_per_token: Annotated[float | None, number("Characters that make a token of text. Default: 4.")] = None,
    template_tokens: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--template-tokens", help="Count the chat template's own text, as Qwen's, instead of 4 per message.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Served model name. Default: the profile's model.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Refuse requests without this bearer token.", envvar="CONCUR_SIM_API_KEY")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file; see docs/configuration.md.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Any key of [sim], as in --set sim.session_cache=true.")] = None,
) -> None:
    """A simulated SGLang behind HTTP, on the wall clock. It runs no model: it replays turns, or says filler text."""
    from concur_batch.cli.engine.simulated import serve_simulated  # noqa: PLC0415 - help must not pay for it

    options = {
        "engine.urls": [f"sim:{profile}"],
        "engine.model": model,
        "sim.speed": speed,
        "sim.pool_tokens": pool_tokens,
        "sim.host_tier": host_tier,
        "sim.server_version": server_version,
        "sim.context_length": context_length,
        "sim.chars_per_token": chars_per_token,
    }
    raise typer.Exit(
        serve_simulated(options, sets or [], config, host=host, port=port, template=template_tokens, api_key=api_key)
    )


@app.command()
def fit(
    url: Annotated[str, typer.Argument(help="Base URL of an SGLang server that nobody else uses meanwhile.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Profile file to write, .toml.")] = Path("profile.toml"),
    seconds: Annotated[float, number("About how long to measure.", least=5)] = 180.0,
    api_key: ApiKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how long an engine's iterations take, and write a profile that stands for it in simulations."""
    from concur_batch.cli.engine.simulated import fit_profile  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(fit_profile(url, output, seconds=seconds, api_key=api_key, force=force))
