"""What a tool returned, as the text that a model is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from concur_batch.errors import ToolError
from concur_batch.toolbox.base import ToolOutput

_HALF = "surrogates not allowed"  # in what is raised for half a surrogate pair


def failure(content: str, kind: str, *, repaired: bool = False) -> ToolOutput:
    """A call that came to nothing, told to the model."""
    return ToolOutput(content=writable(content), ok=False, error_class=kind, repaired=repaired)


def as_text(result: Any) -> str:
    """A string as it is, all else as JSON. Raises ToolError for what JSON cannot carry."""
    if isinstance(result, str):
        return result
    try:
        return _json(result)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ToolError(f"The tool returned something that is neither text nor JSON: {error}") from error


def _json(result: Any) -> str:
    try:
        return to_json(result, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        if _HALF not in str(error):
            raise
    plain = to_jsonable_python(_writable(result), inf_nan_mode="strings")  # of models and their like what is in them
    return to_json(_writable(plain), inf_nan_mode="strings").decode()


def _writable(value: Any) -> Any:
    """The same with all text in it writable. Raises ValueError for what could be read only once, and has been."""
    match value:
        case str():
            return writable(value)
        case dict():
            return {writable(key) if isinstance(key, str) else key: _writable(item) for key, item in value.items()}
        case list() | tuple():
            return [_writable(item) for item in value]
        case Iterator():
            raise ValueError(f"{_HALF} in what a {type(value).__name__} gives")
    return value


def writable(text: str) -> str:
    """The text with `?` for half surrogate pairs. These cannot be written as UTF-8, neither into the journal nor to an engine."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
