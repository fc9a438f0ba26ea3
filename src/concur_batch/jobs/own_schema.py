"""Agents that declare a row schema of their own: it replaces `prompt` and `messages` for their tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from concur_batch.errors import InputError
from concur_batch.jobs.row import COLUMNS, ID_ALIASES, problems

AgentSchema: TypeAlias = Callable[[str | None], type[BaseModel] | None]
"""Name of an agent (None: the run's default) to its own row schema, None for the usual one; InputError: no such agent."""

RESERVED = COLUMNS - {"prompt", "messages", "system"} | set(ID_ALIASES)
"""Columns that are ours for every agent; a schema sees one of them only where it declares it."""


def usual_schema(_agent: str | None) -> type[BaseModel] | None:
    """Every agent takes the usual rows."""
    return None


class OwnSchemas:
    """The schemas of all agents met, each asked for once."""

    def __init__(self, agent_schema: AgentSchema) -> None:
        self._ask = agent_schema
        self._known: dict[str | None, type[BaseModel] | InputError | None] = {}

    def of(self, agent: Any) -> type[BaseModel] | InputError | None:
        """The agent's own schema, None for the usual one, or why there is no such agent."""
        name = agent if type(agent) is str and agent else None
        if name not in self._known:
            try:
                self._known[name] = self._ask(name)
            except InputError as error:
                self._known[name] = error
        return self._known[name]


def own_row(row: dict[str, Any], schema: type[BaseModel]) -> dict[str, Any]:
    """The row as this schema sees it: without our columns, save those that the schema itself declares."""
    declared = set(schema.model_fields) | {field.alias for field in schema.model_fields.values() if field.alias}
    return {key: value for key, value in row.items() if key not in RESERVED or key in declared}


def own_problems(row: dict[str, Any], schema: type[BaseModel]) -> list[tuple[str, str]]:
    """What this schema has against the row, as (field, text)."""
    try:
        schema.model_validate(row)
    except ValidationError as error:
        return list(problems(error))
    except Exception as error:  # noqa: BLE001 - a validator is the user's code and may raise anything: this row does not pass it
        return [("", f"is refused by {schema.__name__} ({type(error).__name__}: {error})")]
    return []
