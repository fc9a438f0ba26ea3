"""The commands that look at a run directory and change nothing in it: options only, as in `main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concur_batch.cli.options import RunDir


def status(
    run_dir: RunDir,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,  # noqa: FBT002
) -> None:
    """What is finished, failed, running, paused and waiting; works beside a live run."""
    from concur_batch.cli.look import print_status  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(print_status(run_dir, as_json=as_json))


def report(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Run directories; several are compared with the first.", show_default=False),
    ],
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes. Default: DIR/report.html; of several runs ./report.html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object and nothing else; a page only with --html.")] = False,  # noqa: FBT002
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,  # noqa: FBT002
) -> None:
    """What runs came to: a summary here, and one HTML file with charts and trajectories; works beside a live run."""
    from concur_batch.cli.report import report as make  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(make(run_dirs, html, as_json=as_json, open_it=open_it))
