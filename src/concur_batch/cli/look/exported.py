"""`concur results --export`: to a file that is there whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from concur_batch.cli.look.collected import collection
from concur_batch.cli.look.own import is_own
from concur_batch.cli.streams import standard_output
from concur_batch.errors import InputError
from concur_batch.results.atomic import replacing
from concur_batch.results.export import Form, Tools, exporting, form_of
from concur_batch.results.paging import Counted, Page


def export(run_dir: Path, page: Page, name: str, given_form: str | None, *, force: bool) -> int:
    """Write those that are selected to a file, which is there whole or not at all, or to standard output (`-`)."""
    form = form_of(name, given_form)
    counted = Counted(page)
    with ExitStack() as stack:
        found = stack.enter_context(collection(run_dir))
        tools = stack.enter_context(_tools(run_dir)) if form == "chat" else lambda _: None
        file = stack.enter_context(_destination(run_dir, name, form, force=force))
        write = stack.enter_context(exporting(file, form, tools))
        written = sum(write(one.row()) for one in counted.page(found))
    where = "standard output" if name == "-" else name
    silent = f"; {counted.shown - written:,} without any reply were left out" if written < counted.shown else ""
    _say(f"exported {written:,} of {counted.seen + found.unended:,} rollouts to {where}{silent}")
    return 0


@contextmanager
def _tools(run_dir: Path) -> Iterator[Tools]:
    from concur_batch.cli.look.offered import offered  # noqa: PLC0415 - half of what a run imports, for one form of export

    with offered(run_dir) as (tools, unknown):
        if unknown is not None:
            _say(f"note: the tools are left out, as they are not known any more: {unknown}")
        yield tools


@contextmanager
def _destination(run_dir: Path, name: str, form: Form, *, force: bool) -> Iterator[BinaryIO]:
    if name == "-":
        if form == "parquet":
            raise InputError("--export -: a Parquet file cannot be written to standard output; name a file")
        with standard_output() as file:
            yield file
        return
    path = Path(os.path.realpath(name))
    if is_own(run_dir, path):
        raise InputError(f"--export {name}: is a file of the run's own; give another name")
    if path.exists() and not path.is_file():
        raise InputError(f"--export {name}: is no regular file; give another name, or - for standard output")
    if path.exists() and not force:
        raise InputError(f"--export {name}: exists already; give another name, or add --force to replace it")
    with replacing(path, mend="mend that, or give another name") as file:
        yield file


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - for the user, beside what is exported
