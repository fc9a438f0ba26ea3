"""Agents that declare a row schema of their own: it replaces `prompt` and `messages` for their tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, ValidationError

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
    declared = _declared(schema)
    return {key: value for key, value in row.items() if key not in RESERVED or key in declared}


@cache
def _declared(schema: type[BaseModel]) -> frozenset[str]:
    """All names that its fields have, whether it reads them by these or not."""
    fields = schema.model_fields.items()
    aliases = (alias for _, field in fields for one in (field.alias, field.validation_alias) for alias in _aliases(one))
    return frozenset((*(name for name, _ in fields), *aliases))


def aside(columns: dict[str, Any], own: dict[str, Any], schema: type[BaseModel]) -> dict[str, Any]:
    """Of these columns, none of them ours, what the schema is not given (all but `own`) or passes over."""
    read = columns_of(schema)
    return {key: value for key, value in columns.items() if key not in own or (read is not None and key not in read)}


@cache
def columns_of(schema: type[BaseModel]) -> frozenset[str] | None:
    """What it reads. None: it takes in others as well, refuses them itself, or has code that sees the whole row."""
    if schema.model_config.get("extra", "ignore") != "ignore" or _sees_all(schema) or issubclass(schema, RootModel):
        return None
    by_name = schema.model_config.get("populate_by_name") or schema.model_config.get("validate_by_name")
    found: set[str] = set()
    for name, field in schema.model_fields.items():
        aliases = set(_aliases(field.validation_alias or field.alias))
        found |= aliases | {name} if by_name or not aliases else aliases
    return frozenset(found)


def _sees_all(schema: type[BaseModel]) -> bool:
    """Whether code of its own is given the whole row."""
    decorators = schema.__pydantic_decorators__
    validates = schema.model_validate.__func__ is not BaseModel.model_validate.__func__  # type: ignore[attr-defined]
    before = any(one.info.mode != "after" for one in decorators.model_validators.values())
    return before or bool(decorators.root_validators) or validates or schema.__init__ is not BaseModel.__init__


@cache
def known_columns(schema: type[BaseModel] | None) -> frozenset[str]:
    """The names that columns may have in rows of this schema, None for usual rows."""
    return COLUMNS if schema is None else RESERVED | (columns_of(schema) or frozenset())


def _aliases(alias: str | AliasPath | AliasChoices | None) -> Iterator[str]:
    if isinstance(alias, AliasChoices):
        for choice in alias.choices:
            yield from _aliases(choice)
    elif alias is not None:
        yield alias if isinstance(alias, str) else str(alias.path[0])


def own_problems(row: dict[str, Any], schema: type[BaseModel]) -> list[tuple[str, str]]:
    """What this schema has against the row, as (field, text)."""
    try:
        schema.model_validate(row)
    except ValidationError as error:
        return list(problems(error))
    except Exception as error:  # noqa: BLE001 - a validator is the user's code and may raise anything: this row does not pass it
        return [("", f"is refused by {schema.__name__} ({type(error).__name__}: {error})")]
    return []
