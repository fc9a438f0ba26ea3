"""Finds the tools that `--tools FILE.py | package.module | builtin | NAME` bring."""

from __future__ import annotations

import inspect
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from concur_batch.errors import InputError
from concur_batch.own_code import load_file, load_module
from concur_batch.toolbox.base import FINISH_SPEC
from concur_batch.toolbox.builtin.commands import python, shell
from concur_batch.toolbox.builtin.files import read_file, write_file
from concur_batch.toolbox.builtin.waiting import wait
from concur_batch.toolbox.decorator import MARK
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.signature import Tool, read_tool
from concur_batch.toolbox.tools import Tools

BUILTIN: dict[str, Callable[..., Any]] = {"read_file": read_file, "write_file": write_file, "shell": shell, "python": python}
_KINDS = "--tools takes FILE.py, a module's name, `builtin` or a built-in tool's name"
_INSTEAD = f"a FILE.py, a module that Python finds from here, `builtin`, or one of {', '.join(BUILTIN)}"
_ONLY_NAMED = {"wait": wait}  # of no use to a model: callable, but not among what `--tools builtin` offers


def load_tools(sources: Iterable[str], *, workspaces: Path, limits: ToolLimits | None = None, begun: bool = False) -> Tools:
    """All tools of a run: those of the sources, which are offered, and the built-in ones, which a task may name.

    A tool of a source takes the place of the built-in one of the same name. `begun`: of a run that is there, perhaps begun when
    a tool could still be named `finish`; it stays as it was.

    Raises:
        InputError: a source cannot be read, brings no tool, or one that cannot be offered; two of the same name, or one
            named `finish`; the sandbox is demanded and does not work, or cannot show what is to be readable.
    """
    offered: dict[str, Tool] = {}
    for source in {_identity(source): source for source in sources}.values():
        for found in _read(source):
            if found.spec.name == FINISH_SPEC.name and not begun:
                raise InputError(
                    f"{found.place}: tool `{found.spec.name}` would never run: a call of this name ends the task; "
                    'give it another name with @tool(name="...")'
                )
            known = offered.get(found.spec.name)
            if known is not None and known.function is not found.function:
                raise InputError(
                    f"{found.place}: tool `{found.spec.name}` exists already ({known.place}); "
                    'give one of them another name with @tool(name="...")'
                )
            offered[found.spec.name] = found
    rest = [read_tool(function) for name, function in (BUILTIN | _ONLY_NAMED).items() if name not in offered]
    tools = Tools([*offered.values(), *rest], offered=offered, workspaces=workspaces, limits=limits)
    if limits is not None and (limits.sandbox == "bubblewrap" or limits.readable):
        _ = tools.sandbox  # raises now rather than in the middle of the run
    return tools


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source or source.startswith(".")


def _identity(source: str) -> str:
    """The same for `tools.py` and `./tools.py`."""
    return str(Path(source).absolute()) if _is_file(source) else source


def _read(source: str) -> list[Tool]:
    if source == "builtin":
        return [read_tool(function) for function in BUILTIN.values()]
    if source in BUILTIN:
        return [read_tool(BUILTIN[source])]
    if not source:
        raise InputError(f"--tools '': is empty; {_KINDS}")
    if _is_file(source):
        _check_file(Path(source))
        module = load_file(Path(source), "tools")
    else:
        module = load_module(source, f"--tools {source}: ", instead=_INSTEAD)
    functions = {id(item): item for item in vars(module).values() if inspect.isroutine(item) and hasattr(item, MARK)}
    if not functions:
        raise InputError(f"{source}: no tool in it; {_no_tool(module)}")
    return [read_tool(function) for function in functions.values()]


def _no_tool(module: ModuleType) -> str:
    """What to do about a module in which no function is a tool."""
    for owner in filter(inspect.isclass, vars(module).values()):
        for name, member in vars(owner).items():
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            if inspect.isfunction(function) and hasattr(function, MARK):
                return (
                    f"@tool stands before a method, {owner.__name__}.{name}: put it before a function outside of classes, or "
                    f"bind the method at the top of the file: {name} = {owner.__name__}().{name}"
                )
    return "put @tool (from concur_batch.toolbox import tool) before a function"


def _check_file(path: Path) -> None:
    """Raises InputError for what is no file that can be read."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: tools file does not exist; {_KINDS}") from None
    except (OSError, ValueError) as error:  # a name that is too long, or no name at all
        raise InputError(f"{path}: tools file cannot be read ({getattr(error, 'strerror', error)}); {_KINDS}") from None
    if stat.S_ISDIR(kind):
        raise InputError(f"{path}: tools file is a folder; name a .py file in it")
    if not stat.S_ISREG(kind):
        raise InputError(f"{path}: tools file is not a regular file; save it as one whose name ends in .py")
