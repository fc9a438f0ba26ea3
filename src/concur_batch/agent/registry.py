"""Names -> agents: `react`, or a user's `module:callable` or `FILE.py:callable`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from concur_batch.agent.base import Agent
from concur_batch.agent.react import react
from concur_batch.errors import InputError
from concur_batch.own_code import load_file, load_module


@cache
def find_agent(name: str) -> Agent:
    """The agent of that name. Raises InputError that says what is wrong with it."""
    if name == "react":
        return react
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise InputError(f"agent {name!r}: give react, replay, module:callable or FILE.py:callable")
    function = getattr(_load(place, f"agent {name!r}: "), attribute, None)
    if function is None:
        raise InputError(f"agent {name!r}: {place} has no {attribute!r}")
    if not inspect.iscoroutinefunction(function) or not _takes_two(function):
        raise InputError(f"agent {name!r}: must be an async function, called with the task and the context")
    return cast("Agent", function)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def _load(place: str, told: str) -> ModuleType:
    if not place.endswith(".py"):
        return load_module(
            place, told, instead="FILE.py:callable, or module:callable of one that is installed here or lies in this folder"
        )
    path = Path(place)
    if not path.is_file():
        raise InputError(f"{told}there is no file {place}")
    return load_file(path, "agent", told)
