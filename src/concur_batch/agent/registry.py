"""Names -> agents: `react`, or a user's `module:callable` or `FILE.py:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from concur_batch.agent.base import Agent
from concur_batch.agent.react import react
from concur_batch.errors import InputError


@cache
def find_agent(name: str) -> Agent:
    """The agent of that name. Raises InputError that says what is wrong with it."""
    if name == "react":
        return react
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise InputError(f"agent {name!r}: give react, replay, module:callable or FILE.py:callable")
    function = getattr(_load(place, name), attribute, None)
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


def _load(place: str, name: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            _importable(Path.cwd())  # an installed command does not look where the user stands
            return importlib.import_module(place)
        path = Path(place)
        if not path.is_file():
            raise InputError(f"agent {name!r}: there is no file {place}")
        _importable(path.resolve().parent)
        spec = importlib.util.spec_from_file_location(f"concur_agent_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"agent {name!r}: {error.filename}:{error.lineno}: {error.msg}") from None
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's module does while it is imported
        raise InputError(
            f"agent {name!r}: importing {place} failed{_line(place, error)}: {type(error).__name__}: {error}"
        ) from error
    return module


def _importable(folder: Path) -> None:
    """Let an agent's file import its neighbours, as a script may."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _line(place: str, error: BaseException) -> str:
    """Where in that file, if it came that far."""
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place]
    return f" in line {own[-1]}" if own else ""
