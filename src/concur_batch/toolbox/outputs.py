"""What a tool returned, as the text that a model is given."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from concur_batch.errors import ToolError
from concur_batch.toolbox.base import ToolOutput


def failure(content: str, kind: str, *, repaired: bool = False) -> ToolOutput:
    """A call that came to nothing, told to the model."""
    return ToolOutput(content=writable(content), ok=False, error_class=kind, repaired=repaired)


def as_text(result: Any) -> str:
    """A string as it is, all else as JSON. Raises ToolError for what JSON cannot carry."""
    if isinstance(result, str):
        return result
    try:
        return to_json(result, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError) as error:
        raise ToolError(f"The tool returned something that is neither text nor JSON: {error}") from error


def writable(text: str) -> str:
    """The text with `?` for half surrogate pairs. These cannot be written as UTF-8, neither into the journal nor to an engine."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
