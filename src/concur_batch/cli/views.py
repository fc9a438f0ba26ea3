"""The commands that look at a run directory and change nothing in it: options only, as in `main`."""

from __future__ import annotations

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
