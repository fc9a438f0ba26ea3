"""The `concur` command: options and help only. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from concur_batch import __version__
from concur_batch.cli import streams
from concur_batch.cli.engine.commands import app as engine_app
from concur_batch.cli.look import commands as look
from concur_batch.cli.run import commands as runs
from concur_batch.cli.trial import commands as trial
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


for command in (
    runs.run,
    runs.resume,
    runs.validate,
    look.status,
    look.watch,
    look.results,
    look.report,
    trial.simulate,
    trial.compare,
):
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
    """Entry point. Every error of ours is one sentence on stderr and its exit code, also that standard output takes no more."""
    streams.prepare()
    arguments = ["--retry-failed=all" if argument == "--retry-failed" else argument for argument in sys.argv[1:]]
    try:
        with streams.written():
            app(args=arguments)
    except ConcurError as error:
        from concur_batch.results.visible import visible  # noqa: PLC0415 - only here

        typer.echo(f"concur: {visible(str(error))}", err=True)  # it may tell what a job file or a server says
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
    if any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers):
        log.critical("internal fault", exc_info=error)
        return f"{where}; the trace is in the run directory's logs/, and concur resume goes on from the last step"
    return where


if __name__ == "__main__":
    main()
