"""The arguments of one tool: their JSON schema, and how what a model wrote becomes what the function is given."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import TypedDict

from concur_batch.broken_json import repaired

SHOWN_FAULTS = 5
_NONE_GIVEN = ("", "{}", "null")  # what models write where no arguments are needed


class BadArgumentsError(ValueError):
    """The text is for the model: what is wrong, and the schema expected."""


class Parsed(NamedTuple):
    """Validated arguments by name, and whether the JSON had to be repaired first."""

    values: dict[str, Any]
    repaired: bool


class PlainJsonSchema(GenerateJsonSchema):
    """Pydantic's JSON schema without the titles it makes up from names: they cost tokens and tell nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False

    def generate(self, schema: Any, mode: Any = "validation") -> JsonSchemaValue:
        """As pydantic does, without the title of the whole."""
        made = super().generate(schema, mode)
        made.pop("title", None)
        return made


@with_config(ConfigDict(extra="forbid"))
class _Nothing(TypedDict):
    pass


_NOTHING: TypeAdapter[Any] = TypeAdapter(_Nothing)


class Arguments:
    """The validator of one tool, built once. `adapter` None: the tool takes no arguments."""

    def __init__(self, tool: str, adapter: TypeAdapter[Any] | None, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._tool = tool
        self._adapter = adapter

    def parse(self, arguments: str | dict[str, Any]) -> Parsed:
        """Strict JSON first; what is no JSON is repaired, and said to be. Raises BadArgumentsError."""
        if not arguments or (isinstance(arguments, str) and arguments.strip() in _NONE_GIVEN):
            arguments = {}
            if self._adapter is None:
                return Parsed({}, repaired=False)
        validator = (self._adapter or _NOTHING).validator
        try:
            if isinstance(arguments, str):
                return Parsed(validator.validate_json(arguments.encode("utf-8", "replace")), repaired=False)
            return Parsed(validator.validate_python(arguments), repaired=False)
        except ValidationError as error:
            fault = error
        meant = repaired(arguments) if isinstance(arguments, str) else None
        if meant is not None:
            try:
                return Parsed(validator.validate_python(meant), repaired=True)
            except ValidationError as error:
                fault = error
        raise BadArgumentsError(self._message(fault)) from None

    def _message(self, fault: ValidationError) -> str:
        faults = fault.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in faults[:SHOWN_FAULTS]]
        if len(faults) > SHOWN_FAULTS:
            told.append(f"and {len(faults) - SHOWN_FAULTS} more")
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"The arguments do not fit the tool `{self._tool}`: {'; '.join(told)}.\nExpected, as JSON schema: {schema}"
