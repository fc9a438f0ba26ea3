"""Other people's coroutines, held so that they can be left where they stand. Pure.

Nothing that is raised in a coroutine ends one that catches whatever there is and goes on (`except:` in a loop).
"""

from __future__ import annotations

import ctypes
import types
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T")


@types.coroutine
def hold(work: Awaitable[T], left: Callable[[], BaseException | None]) -> Generator[Any, Any, T]:
    """What the work comes to. Once `left` tells an error that is raised when the work waits, or is told something, the next time."""
    inner: Any = work.__await__()
    go_on = partial(next, inner)
    while True:
        try:
            waits_for = go_on()
        except StopIteration as end:
            return cast("T", end.value)
        _unless_left(left, inner)
        try:
            answer = yield waits_for
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the work
            _unless_left(left, inner)
            go_on = partial(inner.throw, error)
        else:
            go_on = partial(next, inner) if answer is None else partial(inner.send, answer)


def _unless_left(left: Callable[[], BaseException | None], inner: object) -> None:
    error = left()
    if error is not None:
        # It must not be deallocated: Python would raise GeneratorExit in it, which it would catch, and go round for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inner))
        raise error
