"""Parquet's dates, times and durations in nanoseconds, of which Python knows microseconds only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_DAY_S = 86_400


def reader(kind: Any) -> Callable[[Any], Any] | None:
    """What makes of an Arrow scalar of this type what Python has, and text where it has no value: `as_py` alone fails there, or gives
    a type of pandas. None: values of this type hold no nanoseconds, and `as_py` will do.
    """
    read = _reader(kind)
    return read and (lambda value: read(value) if value.is_valid else None)


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    import pyarrow as pa  # noqa: PLC0415 - heavy; only who reads Parquet pays for it
    import pyarrow.types as t  # noqa: PLC0415

    if isinstance(kind, pa.BaseExtensionType):
        return _inner(reader(kind.storage_type))
    if t.is_dictionary(kind):
        return _inner(reader(kind.value_type))
    if not t.is_nested(kind):
        return _of_nanoseconds if getattr(kind, "unit", None) == "ns" else None
    readers = [reader(kind.field(i).type) for i in range(kind.num_fields)]
    if not any(readers):
        return None
    parts = [read or _as_py for read in readers]
    if t.is_struct(kind):
        return lambda value: {name: read(item) for read, (name, item) in zip(parts, value.items(), strict=True)}
    (part,) = parts
    if t.is_map(kind):
        return lambda value: [tuple(part(item).values()) for item in value.values]
    return lambda value: [part(item) for item in value.values]


def _as_py(value: Any) -> Any:
    return value.as_py()


def _inner(read: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    return read and (lambda value: read(value.value))


def _of_nanoseconds(value: Any) -> Any:
    """Text is as that of whole microseconds, with three digits more."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.types as t  # noqa: PLC0415

    kind, count = value.type, value.value
    microseconds, rest = divmod(count, 1000)
    if t.is_duration(kind):
        return _duration(count) if rest else pa.scalar(microseconds, pa.duration("us")).as_py()
    coarse = pa.scalar(microseconds, pa.timestamp("us", kind.tz) if t.is_timestamp(kind) else pa.time64("us")).as_py()
    if not rest:
        return coarse
    head, _, tail = coarse.isoformat(timespec="microseconds").partition(".")
    return f"{head}.{tail[:6]}{rest:03}{tail[6:].replace('+00:00', 'Z')}"


def _duration(nanoseconds: int) -> str:
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    days, seconds = divmod(seconds, _DAY_S)
    return f"{'-' * (nanoseconds < 0)}P{f'{days}D' * (days > 0)}T{seconds}.{rest:09}S"
