"""Names -> agents: `react`, or a user's `module:callable` or `FILE.py:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

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
    if not inspect.iscoroutinefunction(function):
        raise InputError(f"agent {name!r}: must be an async function, called with the task and the context")
    return cast("Agent", function)


def _load(place: str, name: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))  # an installed command does not look where the user stands
            return importlib.import_module(place)
        path = Path(place)
        if not path.is_file():
            raise InputError(f"agent {name!r}: there is no file {place}")
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
    except Exception as error:  # whatever a user's module does while it is imported
        raise InputError(f"agent {name!r}: importing {place} failed: {type(error).__name__}: {error}") from error
    return module
