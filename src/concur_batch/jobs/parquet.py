"""Parquet files: rows as plain dicts, a small batch at a time. A null is an absent field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from concur_batch.jobs.faults import PROMPT_IS_TEXT, Fault
from concur_batch.jobs.lines import Located
from concur_batch.jobs.nanoseconds import reader

_BATCH_ROWS, _BATCH_BYTES = 512, 16 << 20  # at most so many, and about so much: rows with images are large
_BUFFER_BYTES = 1 << 20  # columns are read in such pieces, not a row group at once

_TEXT, _WHOLE, _LIST, _OBJECT = "text", "a whole number", "a list, or JSON text", "a struct, or JSON text"
_ID = f"{_TEXT} or {_WHOLE}"
_EXPECTED = {
    **dict.fromkeys(("prompt", "system", "agent", "model"), _TEXT),
    **dict.fromkeys(("id", "custom_id", "task_id", "instance_id", "problem_id"), _ID),
    **dict.fromkeys(("messages", "tools", "script"), _LIST),
    **dict.fromkeys(("sampling", "extra_body", "limits", "metadata", "body"), _OBJECT),
    **dict.fromkeys(("expected_tokens", "n", "seed"), _WHOLE),
}
_CHECKED = frozenset({"sampling", "extra_body", "limits", "body", "tools", "script"})  # of these, what structs hold is ours


def read_parquet(path: Path, name: str, *, own_schema: bool = False) -> Iterator[Located | Fault]:
    """All rows in order, `line` counted from 1; a column of the wrong type or an unsound file comes as Faults.

    `own_schema`: the agent has a row schema of its own, and says itself what `prompt`, `system` and `messages` are.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy; only who reads Parquet pays for it
    import pyarrow.parquet as pq  # noqa: PLC0415

    row_number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            schema = file.schema_arrow
            faults = list(_column_faults(schema, name, own_schema=own_schema or "agent" in schema.names))
            yield from faults
            if faults:
                return
            floats = [field.name for field in schema if _has_floats(field.type)]
            for batch in _batches(file):
                columns = [_values(column, name) for name, column in zip(schema.names, batch.columns, strict=True)]
                for values in zip(*columns, strict=True):
                    row_number += 1
                    row = {key: value for key, value in zip(schema.names, values, strict=True) if value is not None}
                    infinite = _infinite({key: row[key] for key in floats if key in row}) if floats else None
                    if infinite is None:
                        yield Located(row_number, row, b"", 0)
                    else:
                        text = "is infinite, which is no JSON number; write null or leave the field out"
                        yield Fault(f"{name}:row {row_number}", infinite, text)
    except _NoValue as error:
        yield Fault(f"{name}:row {row_number + error.row}", error.column, str(error))
    except UnicodeDecodeError:
        yield Fault(
            f"{name}:row {row_number + 1}",
            "",
            f"here or within {_BATCH_ROWS} rows stands text that is not UTF-8; write it as UTF-8",
        )
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        yield Fault(name, "", f"cannot be read as Parquet ({reason}); write it again, or give JSONL")


def _batches(file: Any) -> Iterator[Any]:
    """One row group after the other: Arrow cannot read a batch out of two where a list or struct holds words of a dictionary."""
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        rows = _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
        yield from file.iter_batches(max(1, min(rows, _BATCH_ROWS)), row_groups=[number], use_threads=False)


def without_nulls(value: Any, *, nan: bool = False) -> Any:
    """The same value with every null field of its structs left out, with `nan` also those that are NaN; such items of lists stay."""
    if type(value) is dict:
        return {key: without_nulls(item, nan=nan) for key, item in value.items() if not (item is None or (nan and _is_nan(item)))}
    if type(value) is list:
        return [without_nulls(item, nan=nan) for item in value]
    return value


def _is_nan(value: Any) -> bool:
    return type(value) is float and value != value  # noqa: PLR0124 - pandas writes NaN for null


def _has_floats(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.types as t  # noqa: PLC0415

    if isinstance(kind, pa.BaseExtensionType):
        return _has_floats(kind.storage_type)
    if t.is_nested(kind):
        return any(_has_floats(kind.field(i).type) for i in range(kind.num_fields))
    return _has_floats(kind.value_type) if t.is_dictionary(kind) else bool(t.is_floating(kind))


def _infinite(value: Any) -> str | None:
    """Where in this a number is that no JSON can hold, dotted; None: nowhere."""
    if type(value) is float:
        return "" if math.isinf(value) else None
    # A map with keys that no object can have is a list of tuples.
    for key, item in value.items() if type(value) is dict else enumerate(value) if type(value) in (list, tuple) else ():
        found = _infinite(item)
        if found is not None:
            return f"{key}.{found}" if found else str(key)
    return None


class _NoValue(Exception):
    """Python has no value for what stands here: a date far out. `row` counts from 1 within its batch."""

    def __init__(self, row: int, column: str, kind: Any) -> None:
        super().__init__(f"holds a {kind} that cannot be read as a date or time; write the column as text, or leave it out")
        self.row = row
        self.column = column


def _values(column: Any, name: str) -> list[Any]:
    """A column as plain JSON values; dates, decimals and bytes become text, NaN and nested nulls are absent. So is a NaN within what is
    ours to check, and decimals are numbers there; in what is handed on as it is, they may mean something. What is said to be JSON
    within that, or within messages, is what it says.
    """
    import pyarrow.types as t  # noqa: PLC0415

    values = _python_values(column, name)
    if t.is_floating(column.type):
        return [None if _is_nan(value) else value for value in values]
    ours = name in _CHECKED
    mended = _mended(column.type, numbers=ours, texts=ours or name == "messages")
    if mended is not None:
        values = [*map(mended, values)]
    if not _is_plain(column.type):
        values = msgspec.to_builtins(values, str_keys=True, enc_hook=str)
    return without_nulls(values, nan=ours) if _has_nested_nulls(column, nan=ours) else values


def _python_values(column: Any, name: str) -> list[Any]:
    read = reader(column.type)
    try:
        values: list[Any] = column.to_pylist() if read is None else [*map(read, column)]
    except UnicodeDecodeError:
        raise
    except (OverflowError, ValueError):
        for row, value in enumerate(column, start=1):
            try:
                value.as_py() if read is None else read(value)
            except (OverflowError, ValueError):
                raise _NoValue(row, name, column.type) from None
        raise
    return values


def _mended(kind: Any, *, numbers: bool, texts: bool) -> Callable[[Any], Any] | None:
    """What makes objects of the maps in a value of this type, which are lists of pairs, with `numbers` numbers of its decimals, and with
    `texts` values of the JSON texts within it. None: there is nothing to be done. Maps whose keys can be none of an object's stay.
    """
    import pyarrow.types as t  # noqa: PLC0415

    def within(part: Any, name: str = "") -> Callable[[Any], Any] | None:
        if texts and _is_json(part):
            return _arguments if name == "arguments" and not numbers else _decoded
        return _mended(part, numbers=numbers, texts=texts)

    if t.is_decimal(kind) and numbers:
        return lambda one: None if one is None else int(one) if one == int(one) else float(one)
    if t.is_map(kind) and not (t.is_nested(kind.key_type) or t.is_boolean(kind.key_type)):
        item = within(kind.item_type) or (lambda one: one)
        return lambda pairs: None if pairs is None else {key: item(one) for key, one in pairs}
    if t.is_struct(kind):
        found = {field.name: within(field.type, field.name) for field in map(kind.field, range(kind.num_fields))}
        parts = {name: part for name, part in found.items() if part is not None}
        return (lambda fields: fields and fields | {name: make(fields[name]) for name, make in parts.items()}) if parts else None
    part = within(kind.value_type) if _is_list(kind) else None
    return part and (lambda items: items and [*map(part, items)])


def _decoded(text: str | None) -> Any:
    """What this JSON says; text that is none stays, to be refused where something else is wanted."""
    try:
        return text and msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _arguments(text: str | None) -> Any:
    """Of a call within messages: servers want their text, which may stand in quotation marks here."""
    said = _decoded(text)
    return said if said is None or isinstance(said, str) else text


def _is_plain(kind: Any) -> bool:
    """Whether values of this type are JSON as they come."""
    import pyarrow.types as t  # noqa: PLC0415

    if t.is_struct(kind):
        return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
    if _is_list(kind) or t.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return bool(_is_text(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_null(kind))


def _has_nested_nulls(array: Any, *, nan: bool) -> bool:
    """Whether a struct in it may have a field that is null, with `nan` also one that is NaN; asked once per batch, and spares the walk over most of them."""
    import pyarrow.types as t  # noqa: PLC0415

    if t.is_struct(array.type):
        fields = [array.field(i) for i in range(array.type.num_fields)]
        return any(
            field.null_count or (nan and t.is_floating(field.type)) or _has_nested_nulls(field, nan=nan) for field in fields
        )
    if _is_list(array.type):
        return _has_nested_nulls(array.values, nan=nan)
    return bool(t.is_map(array.type)) or _is_json(array.type)


def _is_text(arrow_type: Any) -> bool:
    import pyarrow.types as t  # noqa: PLC0415

    is_view = getattr(t, "is_string_view", lambda _: False)  # since pyarrow 16
    return bool(t.is_string(arrow_type) or t.is_large_string(arrow_type) or is_view(arrow_type))


def _is_json(arrow_type: Any) -> bool:
    """Text that the file says to be JSON, as DuckDB writes it. Older releases of pyarrow do not tell."""
    return getattr(arrow_type, "extension_name", "") == "arrow.json"


def _is_list(arrow_type: Any) -> bool:
    import pyarrow.types as t  # noqa: PLC0415

    return bool(t.is_list(arrow_type) or t.is_large_list(arrow_type) or t.is_fixed_size_list(arrow_type))


def _column_faults(schema: Any, name: str, *, own_schema: bool) -> Iterator[Fault]:
    import pyarrow.types as t  # noqa: PLC0415

    doubled = {column for column in schema.names if schema.names.count(column) > 1}
    for column in sorted(doubled):
        yield Fault(name, column, "stands twice among the columns; keep one of them")
    for field in schema:
        expected = _EXPECTED.get(field.name)
        kind = field.type.value_type if t.is_dictionary(field.type) else field.type
        if expected in (_LIST, _OBJECT) and _is_json(kind):
            kind = kind.storage_type  # a text would keep its quotation marks
        if expected is None or t.is_null(kind) or (own_schema and field.name in {"prompt", "system", "messages"}):
            continue
        fits = (
            (_is_text(kind) and expected != _WHOLE)
            or (expected == _ID and getattr(kind, "extension_name", "") == "arrow.uuid")  # text once read; see `_is_json`
            or (_WHOLE in expected and (t.is_integer(kind) or t.is_floating(kind)))  # pandas turns 1, null into 1.0, NaN
            or (expected == _LIST and _is_list(kind))
            or (expected == _OBJECT and (t.is_struct(kind) or t.is_map(kind)))
        )
        if not fits:
            right = PROMPT_IS_TEXT if field.name == "prompt" and _is_list(kind) else f"should be {expected}"
            yield Fault(name, field.name, f"the column's type is {field.type}; {right}")
