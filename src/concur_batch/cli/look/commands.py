"""The commands that look at a run directory and change nothing in it: options only, as in `main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concur_batch.cli.options import RunDir, whole


def status(
    run_dir: RunDir,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,  # noqa: FBT002
) -> None:
    """What is finished, failed, running, paused and waiting; works beside a live run."""
    from concur_batch.cli.look.status import print_status  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(print_status(run_dir, as_json=as_json))


def watch(
    run_dir: RunDir,
    once: Annotated[bool, typer.Option("--once", help="One picture, and leave.")] = False,  # noqa: FBT002
    leave_at_end: Annotated[bool, typer.Option("--exit", help="Leave when the run has ended.")] = False,  # noqa: FBT002
    live: Annotated[bool, typer.Option("--live/--no-live", help="Dashboard, or plain lines.")] = True,  # noqa: FBT002
) -> None:
    """The dashboard of a run in another terminal or on another node, from its journal; q leaves, e shows its errors."""
    from concur_batch.cli.look.watch import watch as look_on  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(look_on(run_dir, once=once, leave_at_end=leave_at_end, live=live))


def report(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Run directories; several are compared with the first.", show_default=False),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the page goes, - is standard output. Default: DIR/report.html; of several runs ./report.html.",
        ),
    ] = None,
    as_json: Annotated[  # noqa: FBT002
        bool, typer.Option("--json", help="One JSON object and nothing else; a page only with --html or --open.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,  # noqa: FBT002
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,  # noqa: FBT002
) -> None:
    """What runs came to: a summary here, and one HTML file with charts and trajectories; works beside a live run."""
    from concur_batch.cli.look.report import report as make  # noqa: PLC0415 - help must not pay for it

    raise typer.Exit(make(run_dirs, html, as_json=as_json, open_it=open_it, force=force))


def results(
    run_dir: RunDir,
    statuses: Annotated[str | None, typer.Option("--status", help="Only these, as in completed,error.")] = None,
    pattern: Annotated[str | None, typer.Option("--id", help="Only ids that contain a match of this regular expression.")] = None,
    error_class: Annotated[str | None, typer.Option(help="Only rollouts that failed with these, as in engine,tool.")] = None,
    limit: Annotated[int | None, whole("At most so many. Default: 50 in the table, else all.", least=1)] = None,
    skip: Annotated[int, whole("Leave out the first so many.", least=0)] = 0,
    opened: Annotated[
        str | None, typer.Option("--open", metavar="ID", help="Read one: ID, or ID#K for one of several rollouts.")
    ] = None,
    export: Annotated[str | None, typer.Option(metavar="FILE", help="Write them to a file, or - for standard output.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="jsonl, parquet, csv, openai or chat. Default: by the file's ending.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per rollout, without conversations.")] = False,  # noqa: FBT002
) -> None:
    """The rollouts that have ended: a table, an export, or one of them to read; works beside a live run."""
    from concur_batch.cli.look.results import show  # noqa: PLC0415 - help must not pay for it

    filters = (statuses, error_class, pattern)
    wanted = {"--open": opened, "--export": export, "--json": as_json or None}
    raise typer.Exit(show(run_dir, filters, wanted, skip=skip, limit=limit, form=form, force=force))
