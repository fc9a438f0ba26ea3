"""`concur results`: the rollouts of a run as a table, in other programs' forms, or one of them to read."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from concur_batch.cli.look.collected import collection
from concur_batch.cli.look.opened import print_one
from concur_batch.cli.streams import printing, standard_output
from concur_batch.errors import InputError
from concur_batch.results.listing import headings, left_out, line, render_lines
from concur_batch.results.paging import Counted, Page, many
from concur_batch.results.selection import selection

PAGE = 50
_AT_ONCE = 500  # lines of one width
_LONG = ("messages", "logprobs", "prompt_token_ids", "response_token_ids")


def show(
    run_dir: Path,
    filters: tuple[str | None, str | None, str | None],
    wanted: Mapping[str, Any],
    *,
    skip: int,
    limit: int | None,
    form: str | None,
    force: bool,
) -> int:
    """What the options ask for. Returns the exit code; raises InputError for options that do not go together.

    Args:
        run_dir: of the run.
        filters: statuses, error classes and pattern.
        wanted: the values of --open, --export and --json; without any it is the table.
        skip: of those that pass the filters, leave out so many.
        limit: and take so many.
        form: of the export.
        force: replace the export.
    """
    given = [option for option, value in wanted.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]}: only one of them at a time; leave one out")
    if form is not None and given != ["--export"]:
        raise InputError(f"--format {form}: is the form of an export; add --export FILE")
    page = Page(selection=selection(*filters), skip=skip, limit=limit)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever is in there, it can be shown
    match given:
        case ["--open"]:
            _refuse_filters(filters, skip=skip, limit=limit)
            with printing():
                return print_one(run_dir, wanted["--open"])
        case ["--export"]:
            from concur_batch.cli.look.exported import export  # noqa: PLC0415 - pyarrow, for this alone

            return export(run_dir, page, wanted["--export"], form, force=force)
        case ["--json"]:
            return print_json(run_dir, page)
    with printing():
        return print_table(run_dir, replace(page, limit=limit or PAGE))


def _refuse_filters(filters: tuple[str | None, str | None, str | None], *, skip: int, limit: int | None) -> None:
    given = dict(zip(("--status", "--error-class", "--id"), filters, strict=True)) | {"--skip": skip or None, "--limit": limit}
    for option, value in given.items():
        if value is not None:
            raise InputError(f"--open and {option}: one that is named needs no filter; leave one out")


def print_table(run_dir: Path, page: Page) -> int:
    """One line per rollout. Returns the exit code."""
    console = Console(highlight=False)
    counted = Counted(page)
    with collection(run_dir) as found:
        rows = counted.page(found)
        without = set[int]()
        while lines := [line(one.row()) for one in islice(rows, _AT_ONCE)]:
            narrow = left_out(lines, console.width)
            without |= set(narrow)
            for text in render_lines(lines, console.width, narrow):
                console.print(text, no_wrap=True, crop=True)
        if without:
            console.print(f"no room for {headings(without)}: --json has all, as has a wider terminal", soft_wrap=True)
        for told in _footer(run_dir, counted, found.unended):
            console.out(told, highlight=False)
    return 0


def print_json(run_dir: Path, page: Page) -> int:
    """One object per rollout, without its conversation, log probabilities and token ids. Returns the exit code."""
    encode = msgspec.json.Encoder().encode
    with collection(run_dir) as found, standard_output() as file:
        for one in Counted(page).page(found):
            row = msgspec.structs.asdict(one.row())
            file.write(encode({key: value for key, value in row.items() if key not in _LONG}) + b"\n")
    return 0


def _footer(run_dir: Path, counted: Counted, unended: int) -> Iterator[str]:
    kind = "" if counted.is_all else f" that match{'es' * (counted.selected == 1)}, of {counted.seen:,}"
    if not counted.seen:
        yield "no rollout has ended yet"
    elif not counted.selected:
        yield f"none of {many(counted.seen)} matches"
    elif counted.more:
        yield f"{counted.shown:,} of {many(counted.selected)}{kind}; {counted.more:,} more: --skip {counted.next_skip}"
    elif not counted.shown:
        yield f"--skip leaves none of {many(counted.selected)}{kind}"
    elif not counted.is_all:
        yield f"{many(counted.selected)}{kind}"
    if unended:
        yield f"{unended:,} {'has' if unended == 1 else 'have'} not ended: concur status {shlex.quote(str(run_dir))}"
