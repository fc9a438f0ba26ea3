"""Imports what users bring, agents and tools, and tells in one sentence why that does not work."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from concur_batch.errors import InputError


def load_file(path: Path, kind: str, told: str = "") -> ModuleType:
    """The module of a file that exists, run anew; it may import its neighbours, as a script may. `kind`: what it is loaded for, since
    agents and tools of one file are two modules. `told`: what errors begin with.

    Raises InputError, also one of the file's own, which stays as it is.
    """
    path = Path(os.path.realpath(path))
    _importable(path.parent)
    name = f"concur_{kind}_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{told}{path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: pydantic looks types up there
    try:
        spec.loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:  # whatever a user's code does while it is imported
        del sys.modules[name]
        raise _fault(error, told, str(path), lambda filename: filename == str(path)) from error
    return module


def load_module(name: str, told: str = "", *, instead: str) -> ModuleType:
    """The module of that name, also one that lies in the working directory. `instead`: what to give where there is none.

    Raises InputError, also one of the module's own, which stays as it is.
    """
    _importable(Path.cwd())  # an installed command does not look where the user stands
    try:
        return importlib.import_module(name)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"{told}no such module; give {instead}") from error
        raise _fault(error, told, name, lambda filename: "importlib" not in filename and filename != __file__) from error


def _fault(error: BaseException, told: str, place: str, own: Callable[[str], bool]) -> InputError:
    """Where it went wrong as `file:line`, in the last of the `own` files, if it came that far; else `place`."""
    if isinstance(error, SyntaxError):
        return InputError(f"{told}{error.filename or place}:{error.lineno or 1}: {error.msg}; correct the syntax")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if own(frame.filename)]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else place
    if isinstance(error, ImportError):
        return InputError(f"{told}{where}: {error}; install it in this environment, or correct the import")
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return InputError(f"{told}{where}: {said}; the file must be importable without an error")


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
