"""`@tool`: marks a function as a tool. What is marked is read when the tools are loaded; here nothing is looked at."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from concur_batch.toolbox.rate import Rate, is_number, parse_rate

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__concur_tool__"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what OpenAI-compatible servers take


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How calls of one tool are run. None: the run's own bound (`ToolLimits`) holds."""

    name: str
    repeatable: bool = False
    timeout_s: float | None = None
    rate: Rate | None = None
    max_output_chars: int | None = None


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    repeatable: bool = False,
    timeout_s: float | None = None,
    rate: str | float | tuple[float, float] | None = None,
    max_output_chars: int | None = None,
) -> Callable[[F], F]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    repeatable: bool = False,
    timeout_s: float | None = None,
    rate: str | float | tuple[float, float] | None = None,
    max_output_chars: int | None = None,
) -> Any:
    """Make a typed function, sync or async, a tool; the function itself stays as it is.

    Args:
        function: given where the decorator is used bare.
        name: what the model calls it; the function's name if None.
        repeatable: a call interrupted by the end of a run may simply be made again when the run is resumed.
        timeout_s: seconds for one call; `math.inf` for none. None: the run's default, 60 s.
        rate: calls over all rollouts, as `"5/s"`, `"100/min"`, `"30/10s"`, a number per second or `(calls, seconds)`.
        max_output_chars: longer results lose their middle. None: the run's default, 16,000.

    Raises:
        TypeError: decorates something that is no function.
        ValueError: an option has no meaning.
    """

    def mark(function: F) -> F:
        if not inspect.isfunction(function):
            raise TypeError(f"@tool stands before a function, not before {function!r}")
        called = name if name is not None else function.__name__
        if not isinstance(called, str) or not NAME.fullmatch(called):
            raise ValueError(f"a tool's name is 1 to 64 letters, digits, `_` or `-`, not {called!r}")
        if repeatable not in (True, False):
            raise ValueError(f"repeatable of tool {called} is True or False, not {repeatable!r}")
        if timeout_s is not None and not (is_number(timeout_s) and timeout_s > 0):
            raise ValueError(f"timeout_s of tool {called} is a number of seconds above 0, not {timeout_s!r}")
        if max_output_chars is not None and not (type(max_output_chars) is int and max_output_chars >= 1):
            raise ValueError(f"max_output_chars of tool {called} is a whole number of at least 1, not {max_output_chars!r}")
        options = ToolOptions(
            name=called,
            repeatable=repeatable,
            timeout_s=timeout_s,
            rate=None if rate is None else parse_rate(rate),
            max_output_chars=max_output_chars,
        )
        setattr(function, MARK, options)
        return function

    return mark if function is None else mark(function)
