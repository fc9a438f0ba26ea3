"""Parquet's dates, times and durations in nanoseconds, of which Python knows microseconds only."""

from __future__ import annotations

from typing import Any

_DAY_S = 86_400


def has_nanoseconds(kind: Any) -> bool:
    """Whether values of this Arrow type may hold some."""
    import pyarrow as pa  # noqa: PLC0415 - heavy; only who reads Parquet pays for it
    import pyarrow.types as t  # noqa: PLC0415

    if isinstance(kind, pa.BaseExtensionType):
        return has_nanoseconds(kind.storage_type)
    if t.is_nested(kind):
        return any(has_nanoseconds(kind.field(i).type) for i in range(kind.num_fields))
    return has_nanoseconds(kind.value_type) if t.is_dictionary(kind) else getattr(kind, "unit", None) == "ns"


def python_value(value: Any) -> Any:
    """An Arrow scalar as Python has it, and as text where it has no value. `as_py` alone fails there, or gives a type of pandas."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.types as t  # noqa: PLC0415

    kind = value.type
    if not value.is_valid or not has_nanoseconds(kind):
        return value.as_py()
    if isinstance(kind, pa.BaseExtensionType):
        return python_value(value.value)
    if t.is_dictionary(kind):
        return python_value(value.value)
    if t.is_struct(kind):
        return {name: python_value(item) for name, item in value.items()}
    if t.is_map(kind):
        return [tuple(python_value(part) for _, part in item.items()) for item in value.values]
    return [python_value(item) for item in value.values] if t.is_nested(kind) else _of_nanoseconds(value)


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
