"""`concur results --export`: to a file that is there whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from concur_batch.cli.look.collected import collection
from concur_batch.cli.look.own import is_own
from concur_batch.cli.streams import standard_output
from concur_batch.errors import InputError
from concur_batch.results.atomic import replacing
from concur_batch.results.export import Tools, exporting, form_of
from concur_batch.results.paging import Counted, Page, many


def export(run_dir: Path, page: Page, name: str, given_form: str | None, *, force: bool) -> int:
    """Write those that are selected to a file, which is there whole or not at all, or to standard output (`-`).

    Where none is selected, or none has a line in the form, nothing is written.
    """
    form = form_of(name, given_form)
    counted = Counted(page)
    with suppress(_Nothing), ExitStack() as stack:
        found = stack.enter_context(collection(run_dir))
        path = None if name == "-" else _place(run_dir, name, force=force)
        if path is None and form == "parquet":
            raise InputError("--export -: a Parquet file cannot be written to standard output; name a file")
        wanted = counted.page(found)
        first = next(wanted, None)
        if first is None:
            return _nothing(_why_none(counted), name)
        tools = stack.enter_context(_tools(run_dir)) if form == "chat" else lambda _: None
        file = stack.enter_context(_destination(path))
        write = stack.enter_context(exporting(file, form, tools))
        written = int(write(first.row())) + sum(write(one.row()) for one in wanted)  # the first before the next is taken
        if not written:
            raise _Nothing  # so that the file does not come to be
    if not written:
        return _nothing(f"none of {many(counted.shown)} has any reply", name)
    said = [f"exported {written:,} of {many(counted.seen + found.unended)} to {'standard output' if path is None else name}"]
    if written < counted.shown:
        said.append(f"{counted.shown - written:,} without any reply {_was(counted.shown - written)} left out")
    if found.unended:
        said.append(f"{found.unended:,} {'has' if found.unended == 1 else 'have'} not ended")
    _say("; ".join(said))
    return 0


class _Nothing(Exception):
    """No row has a line in the form."""


def _nothing(why: str, name: str) -> int:
    _say(f"{why}: nothing was exported" + ("" if name == "-" else f", and {name} was not written"))
    return 0


def _why_none(counted: Counted) -> str:
    if not counted.seen:
        return "no rollout has ended yet"
    if not counted.selected:
        return f"none of {many(counted.seen)} matches"
    return f"--skip leaves none of {many(counted.selected)}"


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


@contextmanager
def _tools(run_dir: Path) -> Iterator[Tools]:
    from concur_batch.cli.look.offered import offered  # noqa: PLC0415 - half of what a run imports, for one form of export

    with offered(run_dir) as (tools, unknown):
        if unknown is not None:
            _say(f"note: the tools are left out, as they are not known any more: {unknown}")
        yield tools


def _place(run_dir: Path, name: str, *, force: bool) -> Path:
    """Where the file goes. Raises InputError for a place that is taken."""
    path = Path(os.path.realpath(name))
    if is_own(run_dir, path):
        raise InputError(f"--export {name}: is a file of the run's own; give another name")
    if path.is_symlink():
        raise InputError(f"--export {name}: is a link that leads back to itself; give another name")
    if path.exists() and not path.is_file():
        raise InputError(f"--export {name}: is no regular file; give another name, or - for standard output")
    if path.exists() and not force:
        raise InputError(f"--export {name}: exists already; give another name, or add --force to replace it")
    return path


@contextmanager
def _destination(path: Path | None) -> Iterator[BinaryIO]:
    opened = standard_output() if path is None else replacing(path, mend="mend that, or give another name")
    with opened as file:
        yield file


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - for the user, beside what is exported
