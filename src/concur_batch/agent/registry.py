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
    if not place.endswith(".py"):
        _importable(Path.cwd())  # an installed command does not look where the user stands
        try:
            return importlib.import_module(place)
        except InputError:  # says itself what is wrong
            raise
        except (Exception, SystemExit) as error:  # whatever a user's module does while it is imported
            raise _import_fault(name, place, error) from error
    path = Path(place).resolve()
    if not path.is_file():
        raise InputError(f"agent {name!r}: there is no file {place}")
    _importable(path.parent)
    spec = importlib.util.spec_from_file_location(f"concur_agent_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        if isinstance(error, InputError):
            raise
        raise _import_fault(name, place, error, path) from error
    return module


def _import_fault(name: str, place: str, error: BaseException, path: Path | None = None) -> InputError:
    """Where it went wrong as `file:line`, if it came that far."""
    if isinstance(error, SyntaxError):
        return InputError(f"agent {name!r}: {error.filename or place}:{error.lineno or 1}: {error.msg}; correct the syntax")
    frames = traceback.extract_tb(error.__traceback__)
    if path is not None:
        own = [frame for frame in frames if frame.filename == str(path)]
    else:
        own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    where = f"{own[-1].filename}:{own[-1].lineno}" if own else place
    if isinstance(error, ImportError):
        return InputError(f"agent {name!r}: {where}: {error}; install it in this environment, or correct the import")
    told = f"{type(error).__name__}: {error}".rstrip(": ")
    return InputError(f"agent {name!r}: {where}: {told}; the file must be importable without an error")


def _importable(folder: Path) -> None:
    """Let an agent's file import its neighbours, as a script may."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
