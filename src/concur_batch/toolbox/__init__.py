"""Tools that agents may call. A tools file needs three names: `tool`, `ToolContext`, `ToolError`."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concur_batch.errors import ToolError
    from concur_batch.toolbox.context import ToolContext
    from concur_batch.toolbox.decorator import tool

__all__ = ["ToolContext", "ToolError", "tool"]

_HOMES = {"tool": "toolbox.decorator", "ToolContext": "toolbox.context", "ToolError": "errors"}


def __getattr__(name: str) -> Any:
    """Import on demand: the warden process comes through here, and every module it holds makes its forks slower."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"concur_batch.{_HOMES[name]}"), name)
