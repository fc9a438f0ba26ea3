"""JSON lines: bytes to rows, one at a time, each with its line number and byte offset."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, NoReturn

import msgspec

from concur_batch.jobs.faults import Fault

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NOUNS = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value", type(None): "null"}
_LATE_BOM = (
    "holds a byte order mark, which may stand only at the start of a file (were files joined that begin with one?); "
    "take it out, for instance with: sed -i 's/\\xEF\\xBB\\xBF//'"
)
_decode = msgspec.json.Decoder().decode


class Located(NamedTuple):
    """One row and where it stands."""

    line: int  # line of a text file, row of a Parquet file; from 1
    row: dict[str, Any]
    raw: bytes  # the line as read, without its end; empty for Parquet
    offset: int  # of the line's first byte in the uncompressed file; 0 for Parquet


def decode_row(raw: bytes, where: str) -> dict[str, Any] | Fault:
    """The JSON object on this line, or what is wrong with it."""
    try:
        row = _decode(raw)
    except UnicodeDecodeError:
        return Fault(where, "", "is not UTF-8 text; save the file as UTF-8")
    except RecursionError:
        return Fault(where, "", "is nested too deeply to be read; flatten it")
    except msgspec.DecodeError as error:
        field, text = _what_is_broken(raw, error)
        return Fault(where, field, text)
    if type(row) is not dict:
        return Fault(where, "", f"is {_NOUNS[type(row)]}; each line should be one JSON object, {{...}}")
    return row


def read_lines(stream: IO[bytes], name: str) -> Iterator[Located | Fault]:
    """All rows of a JSONL stream, in order; a line that cannot be read comes as a Fault. Blank lines are passed over."""
    offset = 0
    for number, raw in enumerate(stream, start=1):
        start = offset
        offset += len(raw)
        if number == 1:
            if raw.startswith(_UTF16):
                yield Fault(f"{name}:1", "", "is UTF-16 text; save the file as UTF-8")
                return
            if raw.startswith(_BOM):
                raw = raw[len(_BOM) :]  # noqa: PLW2901 - the mark is no part of the line
                start += len(_BOM)
        stripped = raw.strip()
        if not stripped:
            continue
        row = decode_row(stripped, f"{name}:{number}")
        yield row if isinstance(row, Fault) else Located(number, row, stripped, start)


def _what_is_broken(raw: bytes, error: msgspec.DecodeError) -> tuple[str, str]:
    """The field, empty where the line as a whole is meant, and what is said of it.

    The standard library's parser is slower but always tells the column; it is asked only about broken lines.
    """
    if raw.startswith(_BOM):
        return "", _LATE_BOM
    if b"\0" in raw:
        return "", "holds NUL bytes, as UTF-16 text and damaged files do; save the file as UTF-8, or take the line out"
    try:
        row = json.loads(raw, parse_constant=_refuse_constant, parse_float=_number)
        too_large = next(_too_large(row, ()), None)
    except UnicodeDecodeError:
        return "", "is not UTF-8 text; save the file as UTF-8"
    except json.JSONDecodeError as why:
        if why.doc.startswith(_BOM.decode(), why.pos):
            return "", _LATE_BOM
        what = f"{why.msg[0].lower()}{why.msg[1:]}"
        if what.endswith(" at"):  # Python names the place behind it
            what = f"{what[:-2]}here"
        return "", f"broken JSON at column {why.colno}: {what}; each line should be one whole JSON object"
    except RecursionError:
        return "", "is nested too deeply to be read; flatten it"
    except _NotJson as why:
        return "", f"broken JSON: {why} is no JSON number; write null or leave the field out"
    except ValueError:
        return "", f"holds a number of more than {sys.get_int_max_str_digits():,} digits; write it as text"
    if too_large is not None:
        field, number = too_large
        return field, f"is {number}, which is beyond what a number can hold; write it as text"
    if b"\\ud" in raw.lower():
        return "", "holds half a surrogate pair (\\ud...), which is no text; write the whole character"
    return "", f"cannot be read ({error}); correct the value"


class _TooLarge(str):
    """A number as it is written, where it would be infinite."""

    __slots__ = ()


def _number(text: str) -> float | _TooLarge:
    value = float(text)
    return value if math.isfinite(value) else _TooLarge(text)


def _too_large(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Such numbers, each with its dotted field."""
    if type(value) is _TooLarge:
        yield ".".join(place), value if len(value) <= 40 else f"{value[:39]}…"
    elif type(value) is dict:
        for key, item in value.items():
            yield from _too_large(item, (*place, key))
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from _too_large(item, (*place, str(index)))


class _NotJson(Exception):
    """NaN or Infinity, which Python writes and JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(name)
