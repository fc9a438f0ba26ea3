"""What an agent is: an async function of a task and a context. `react` is one; users write others."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload, runtime_checkable

from concur_batch.task import Task

if TYPE_CHECKING:
    from pydantic import BaseModel

    from concur_batch.agent.context import Context


class Agent(Protocol):
    """Gets the task and a context; returns the rollout's output. What it raises ends the rollout with status `error`.

    It must do the same when called again with the same answers: on resume it runs from the start, and its calls are
    answered from the journal. So take time and randomness from the context, and touch the world through tools only.
    """

    def __call__(self, task: Task, ctx: Context, /) -> Awaitable[str | None]:
        """Run one rollout."""
        ...


@runtime_checkable
class TellsPrompt(Protocol):
    """An agent that makes its prompts itself and knows beforehand how long the first will be."""

    def prompt_tokens(self, task: Task) -> int:
        """Tokens of the first call."""
        ...


F = TypeVar("F", bound=Callable[..., Any])

_SCHEMA = "__concur_schema__"


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(*, schema: type[BaseModel] | None = None) -> Callable[[F], F]: ...
def agent(function: F | None = None, /, *, schema: type[BaseModel] | None = None) -> F | Callable[[F], F]:
    """Mark a function as an agent.

    `schema`: its rows are checked by this pydantic model in place of `prompt`/`messages`. They reach it as `task.fields`, as they are
    written, without the model's defaults.
    Raises TypeError where it is none, and for what is no function.
    """

    def mark(marked: F) -> F:
        if not callable(marked) or inspect.isclass(marked):
            raise TypeError(f"@agent stands before a function, not before {_told(marked)}; write @agent(schema=...) for a schema")
        if schema is not None and not _is_model(schema):
            name = getattr(marked, "__name__", "?")
            raise TypeError(
                f"the schema of agent {name} must be a pydantic model (`class Row(BaseModel): ...`), not {_told(schema)}"
            )
        setattr(marked, _SCHEMA, schema)
        return marked

    return mark if function is None else mark(function)


def _is_model(schema: object) -> bool:
    from pydantic import BaseModel  # noqa: PLC0415 - whoever has a schema has imported it already

    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _told(given: object) -> str:
    return f"the class {given.__name__}" if inspect.isclass(given) else reprlib.repr(given)


def schema_of(function: Agent) -> type[BaseModel] | None:
    """The row schema that an agent declared. None: the usual one."""
    schema: type[BaseModel] | None = getattr(function, _SCHEMA, None)
    return schema
