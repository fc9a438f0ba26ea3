"""Rows in forms for other programs, written one at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, TypeAlias, get_args

import msgspec

from concur_batch.errors import InputError
from concur_batch.results.chat import chat_line
from concur_batch.results.columns import COLUMNS, WORDS, cells
from concur_batch.results.openai_batch import batch_line
from concur_batch.results.rows import ResultRow, Times, Usage
from concur_batch.results.table import Table, table

Form: TypeAlias = Literal["jsonl", "parquet", "csv", "openai", "chat"]
Write: TypeAlias = Callable[[ResultRow], bool]
"""Whether the row was written: one without any reply has no line of the form `chat`."""
Tools: TypeAlias = Callable[[str], list[dict[str, Any]] | None]
"""By task id, the tools that its model was offered; None: not known."""

FORMS: tuple[Form, ...] = get_args(Form)
_BY_ENDING: dict[str, Form] = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}
_LINES: dict[Form, Form] = {"openai": "jsonl", "chat": "jsonl"}  # what their files are by the ending
_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_WHOLE = ("id", "rollout", "attempt", "status", "finish_reason", "output", "n_steps", "context_tokens")
_WHO = ("model", "endpoint", "seed", "agent")


def form_of(name: str, given: str | None) -> Form:
    """The form that is asked for, or that the file's ending tells. Raises InputError, also where the two contradict."""
    ending = PurePath(name).suffix.lower()
    if ending in _PACKED and name != "-":
        plain = name[: -len(ending)]
        raise InputError(f"--export {name}: exports are not compressed; leave out {ending}, and compress {plain} afterwards")
    found = _BY_ENDING.get(ending)
    if given is not None:
        form = next((form for form in FORMS if form == given), None)
        if form is None:
            raise InputError(f"--format {given}: there is no such form; there are {', '.join(FORMS)}")
        if found is not None and found != _LINES.get(form, form):
            raise InputError(
                f"--export {name} --format {form}: the ending says {found}; give another name, or leave --format out"
            )
        return form
    if name == "-":
        return "jsonl"
    if found is None:
        raise InputError(f"--export {name}: the ending tells no form; use {', '.join(_BY_ENDING)}, or add --format")
    return found


@contextmanager
def exporting(file: BinaryIO, form: Form, tools: Tools) -> Iterator[Write]:
    """Gives a function that writes one row into `file`, which stays open. `tools` are asked for by the form `chat` alone."""
    if form == "parquet":
        with table(file, COLUMNS, WORDS) as rows:
            yield lambda row: _appended(rows, row)
    elif form == "csv":
        with _text(file) as text:
            lines = csv.writer(text)
            lines.writerow(_flat_names())
            yield lambda row: bool(lines.writerow(_flat(row)))
    else:
        encode = msgspec.json.Encoder().encode
        yield lambda row: _write_line(file, encode, _as_line(row, form, tools))


def _appended(rows: Table, row: ResultRow) -> bool:
    rows.append(*cells(row))
    return True


def _write_line(file: BinaryIO, encode: Callable[[Any], bytes], line: Any) -> bool:
    return line is not None and bool(file.write(encode(line) + b"\n"))


def _as_line(row: ResultRow, form: Form, tools: Tools) -> Any:
    if form == "chat":
        return chat_line(row, tools(row.id))
    return batch_line(row) if form == "openai" else row


@contextmanager
def _text(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", errors="replace")
    try:
        yield text
        text.flush()
    finally:
        text.detach()


def _flat_names() -> list[str]:
    """The columns of a CSV file: all but the conversation, structs in parts."""
    error = ("error_class", "error_message", "error_retryable")
    structs = (*Usage.__struct_fields__, *error, *Times.__struct_fields__)
    return [*_WHOLE, *structs, *_WHO, "started_at", "finished_at", "target", "metadata"]


def _flat(row: ResultRow) -> list[Any]:
    error = row.error
    why = ("", "", "") if error is None else (error.error_class, error.message, error.retryable)
    encode = msgspec.json.Encoder().encode
    return [
        *(getattr(row, name) for name in _WHOLE),
        *msgspec.structs.astuple(row.usage),
        *why,
        *msgspec.structs.astuple(row.times),
        *(getattr(row, name) for name in _WHO),
        *("" if moment is None else moment.isoformat() for moment in (row.started_at, row.finished_at)),
        "" if row.target is None else encode(row.target).decode(),
        encode(row.metadata).decode(),
    ]
