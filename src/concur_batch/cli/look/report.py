"""`concur report`: runs in the terminal, and as one HTML file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from concur_batch.cli import directory
from concur_batch.cli.look.own import is_own
from concur_batch.cli.streams import standard_output
from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.journal.lock import holder_of
from concur_batch.journal.reader import JournalReader
from concur_batch.report import build, terminal
from concur_batch.report.page import is_page
from concur_batch.report.run import RunReport
from concur_batch.results.atomic import replacing
from concur_batch.status import condition

MOST_RUNS = 12
STANDARD_OUTPUT = Path("-")


def report(run_dirs: Sequence[Path], html: Path | None, *, as_json: bool, open_it: bool, force: bool = False) -> int:
    """Print what they came to and write the page. Returns the exit code; raises RunDirectoryError and InputError.

    Args:
        run_dirs: one, or several to be compared with the first.
        html: where the page goes; `-` is standard output, which then holds nothing else. None: the usual place.
        as_json: print one JSON object, and write a page only where `html` or `open_it` asks for it.
        open_it: show the page in a browser.
        force: replace a file that is no report.
    """
    if len(run_dirs) > MOST_RUNS:
        raise InputError(f"{len(run_dirs)} runs: at most {MOST_RUNS} fit on one page; name fewer")
    if html is not None and not html.name:
        raise InputError(f"--html {html}: names no file; give one, e.g. --html report.html")
    place = html or (run_dirs[0] / "report.html" if len(run_dirs) == 1 else Path("report.html"))
    to_output = place == STANDARD_OUTPUT
    if to_output and (as_json or open_it):
        raise InputError(f"--html - and {'--json' if as_json else '--open'}: do not go together; leave one out")
    makes_page = not as_json or html is not None or open_it
    if makes_page and not to_output:
        _refuse(place, run_dirs, force=force)
    with ExitStack() as stack:
        runs = [_read(run_dir, name, stack) for run_dir, name in zip(run_dirs, _names(run_dirs), strict=True)]
        written = None
        if to_output:
            _pour(_page(runs))
        elif makes_page:
            _write(place, _page(runs))
            written = str(place)
    if as_json:
        print(json.dumps({"runs": [run.numbers() for run in runs], "html": written}))  # noqa: T201 - the command's output
    elif not to_output:
        _print(runs, place)
    if open_it:
        _open(place)
    return 0


def _read(run_dir: Path, name: str, stack: ExitStack) -> build.Run:
    """One run, also beside a process that writes."""
    described = directory.read(run_dir)
    holder = holder_of(run_dir)
    reader = JournalReader(run_dir)
    stack.callback(reader.close)
    read = RunReport(reader)
    try:
        read.read()
    except OSError as error:
        raise RunDirectoryError(f"{error.filename or run_dir}: cannot be read ({error.strerror or error})") from error
    has_results = (run_dir / "results.parquet").exists()
    return build.Run(
        name=name,
        path=str(run_dir),
        condition=condition(read.state, holder, has_results=has_results),
        report=read,
        config=described,
        simulated=bool(described.get("simulated")),
        has_results=has_results,
    )


def _page(runs: Sequence[build.Run]) -> Iterable[str]:
    """The page in parts; trajectories are read from the journals here."""
    try:
        return build.html(runs)
    except OSError as error:
        raise RunDirectoryError(f"{error.filename or runs[0].path}: cannot be read ({error.strerror or error})") from error


def _names(run_dirs: Sequence[Path]) -> list[str]:
    """The last part of each path; more of it where that does not tell them apart, and their place where nothing does."""
    resolved = [Path(os.path.realpath(path)) for path in run_dirs]
    for parts in (1, 2, 3):
        names = ["/".join(path.parts[-parts:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    last = [path.name or str(path) for path in resolved]
    return [f"{name} ({number})" if last.count(name) > 1 else name for number, name in enumerate(last, start=1)]


def _refuse(place: Path, run_dirs: Sequence[Path], *, force: bool) -> None:
    """Raise InputError where the page would take the place of something else."""
    if any(is_own(run_dir, place) for run_dir in run_dirs):
        raise InputError(f"{place}: is a file of the run's own; name another place for the report by --html FILE")
    if Path(os.path.realpath(place)).is_symlink():
        raise InputError(f"{place}: is a link that leads back to itself; name another place for the report by --html FILE")
    if place.exists() and not place.is_file():
        raise InputError(f"{place}: is no regular file; name another place for the report by --html FILE, or --html - for output")
    try:
        foreign = not force and place.exists() and not is_page(place)
    except OSError as error:
        raise InputError(
            f"{place}: cannot be read ({error.strerror or error}); add --force, or another name by --html FILE"
        ) from error
    if foreign:
        raise InputError(f"{place}: exists and is no report of ours; add --force to replace it, or another name by --html FILE")


def _pour(parts: Iterable[str]) -> None:
    """To standard output."""
    with standard_output() as file:
        _fill(file, parts)


def _fill(file: BinaryIO, parts: Iterable[str]) -> None:
    file.writelines(part.encode(errors="replace") for part in parts)


def _write(place: Path, parts: Iterable[str]) -> None:
    """The file is there whole or not at all; where `place` is a link, it is the file that the link leads to."""
    with replacing(Path(os.path.realpath(place)), mend="name a place for the report by --html FILE") as file:
        _fill(file, parts)


def _print(runs: Sequence[build.Run], place: Path) -> None:
    console = Console()
    for run in runs:
        terminal.show(console, run)
    if len(runs) > 1:
        console.print(terminal.compared(runs, console.width))
    size = place.stat().st_size / 1e6
    console.out(f"report      {place} ({size:.1f} MB)", highlight=False)


def _open(place: Path) -> None:
    import webbrowser  # noqa: PLC0415 - only on demand

    if not webbrowser.open(place.resolve().as_uri()):
        raise InputError(f"{place}: is written, but no browser could be started; open it yourself")
