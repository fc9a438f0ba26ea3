"""`concur results --export`: to a file that is there whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from concur_batch.cli.collected import collection
from concur_batch.cli.offered import offered
from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.journal.writer import FOLDER
from concur_batch.results.atomic import replacing
from concur_batch.results.export import Form, exporting, form_of
from concur_batch.results.paging import Counted, Page

_OWN = (
    "results.parquet",
    "results.jsonl",
    "failures.jsonl",
    "series.parquet",
    "summary.json",
    "config.json",
    "job.index",
    "lock",
)


def export(run_dir: Path, page: Page, name: str, given_form: str | None, *, force: bool) -> int:
    """Write those that are selected to a file, which is there whole or not at all, or to standard output (`-`)."""
    form = form_of(name, given_form)
    counted = Counted(page)
    with ExitStack() as stack:
        found = stack.enter_context(collection(run_dir))
        tools, unknown = stack.enter_context(offered(run_dir)) if form == "chat" else (lambda _: None, None)
        if unknown is not None:
            _say(f"note: the tools are left out, as they are not known any more: {unknown}")
        file = stack.enter_context(_destination(run_dir, name, form, force=force))
        write = stack.enter_context(exporting(file, form, tools))
        for one in counted.page(found):
            write(one.row())
    _say(
        f"exported {counted.shown:,} of {counted.seen + found.unended:,} rollouts to {'standard output' if name == '-' else name}"
    )
    return 0


@contextmanager
def _destination(run_dir: Path, name: str, form: Form, *, force: bool) -> Iterator[BinaryIO]:
    if name == "-":
        if form == "parquet":
            raise InputError("--export -: a Parquet file cannot be written to standard output; name a file")
        with standard_output() as file:
            yield file
        return
    path = Path(os.path.realpath(name))
    inside = path.is_relative_to(run_dir.resolve())
    if inside and (path.name in _OWN or path.parent.name == FOLDER):
        raise InputError(f"--export {name}: is a file of the run's own; give another name")
    if path.exists() and not path.is_file():
        raise InputError(f"--export {name}: is no regular file; give another name, or - for standard output")
    if path.exists() and not force:
        raise InputError(f"--export {name}: exists already; give another name, or add --force to replace it")
    with replacing(path, mend="mend that, or give another name") as file:
        yield file


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Where its reader goes away, that is the end of it and no fault."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        raise RunDirectoryError(f"standard output could not be written ({error.strerror or error})") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - for the user, beside what is exported
