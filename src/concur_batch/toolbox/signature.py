"""From a decorated function to a tool: its schema from annotations and docstring, its validator from pydantic."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError, to_jsonable_python
from typing_extensions import TypedDict

from concur_batch.errors import InputError
from concur_batch.toolbox.arguments import Arguments, PlainJsonSchema
from concur_batch.toolbox.base import ToolSpec
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.decorator import MARK, ToolOptions
from concur_batch.toolbox.docstring import parse_docstring

EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One function that may be called, and how."""

    spec: ToolSpec
    options: ToolOptions
    function: Callable[..., Any]
    arguments: Arguments
    is_async: bool
    context: str | None  # the parameter that is given the ToolContext
    place: str  # file:line, for messages to people


def read_tool(function: Callable[..., Any]) -> Tool:
    """The tool behind a function marked with `@tool`. Raises InputError naming file, line and the mend."""
    options: ToolOptions = getattr(function, MARK)
    place = _place(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(f"{place}: tool {options.name} yields values; make it return one value")
    docs = parse_docstring(function.__doc__)
    hints = _hints(function, options.name, place)
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, parameter.empty)
        _check(parameter, hint, options.name, place)
        if _is_context(hint):
            context = parameter.name
            continue
        described = _described(hint, docs.arguments.get(parameter.name))
        fields[parameter.name] = Required[described] if parameter.default is parameter.empty else NotRequired[described]
        if parameter.default is not parameter.empty:
            defaults[parameter.name] = parameter.default
    spec = ToolSpec(
        name=options.name,
        description=docs.description or options.name.replace("_", " "),
        parameters=(arguments := _arguments(options.name, fields, defaults, place)).schema,
        repeatable=options.repeatable,
    )
    is_async = inspect.iscoroutinefunction(function)
    return Tool(
        spec=spec, options=options, function=function, arguments=arguments, is_async=is_async, context=context, place=place
    )


def _place(function: Callable[..., Any]) -> str:
    """`file:line` of what it wraps, or, where that is no plain function (a `functools.partial`), of itself."""
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(function, "__code__", None)
    return function.__module__ if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _hints(function: Callable[..., Any], name: str, place: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is evaluated: it may raise anything
        raise InputError(
            f"{place}: a type in the signature of tool {name} cannot be read ({error}); "
            "import it at the top of the file, outside of `if TYPE_CHECKING`"
        ) from error


def _is_context(hint: Any) -> bool:
    """Also as `ToolContext | None`, of a function that is called without one elsewhere, and in `Annotated`."""
    return hint is ToolContext or (get_origin(hint) in (Annotated, Union, UnionType) and any(map(_is_context, get_args(hint))))


def _check(parameter: inspect.Parameter, hint: Any, name: str, place: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise InputError(
            f"{place}: tool {name} takes `{parameter}`; a model gives arguments by name, so write each parameter out by name"
        )
    if hint is parameter.empty:
        raise InputError(f"{place}: parameter `{parameter.name}` of tool {name} has no type; write `{parameter.name}: str` or so")
    if isinstance(parameter.default, FieldInfo):
        raise InputError(
            f"{place}: parameter `{parameter.name}` of tool {name} has Field(...) as its default; "
            f"write `{parameter.name}: Annotated[<type>, Field(...)] = <default>`"
        )


def _described(hint: Any, text: str | None) -> Any:
    own = [item for item in get_args(hint)[1:] if isinstance(item, FieldInfo)] if get_origin(hint) is Annotated else []
    if not text or any(item.description for item in own):
        return hint
    return Annotated[hint, Field(description=text)]


def _arguments(name: str, fields: dict[str, Any], defaults: dict[str, Any], place: str) -> Arguments:
    if not fields:
        return Arguments(name, None, EMPTY_SCHEMA)
    make: Any = TypedDict  # mypy knows only those written out
    shape = with_config(ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False))(make(name, fields))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        schema = adapter.json_schema(schema_generator=PlainJsonSchema)
    except PydanticUserError as error:
        told = str(error).splitlines()[0]
        raise InputError(
            f"{place}: tool {name} has a parameter of a type that JSON cannot carry ({told}); "
            "use str, int, float, bool, list, dict, Literal, a dataclass or a pydantic model"
        ) from error
    except SchemaError as error:  # pydantic's core tells the reason last
        told = str(error).splitlines()[-1].removeprefix("error: ")
        raise InputError(
            f"{place}: a parameter of tool {name} has a bound that cannot be checked ({told}); correct its Field(...)"
        ) from error
    properties = dict(zip(fields, schema["properties"].values(), strict=False))  # each under its alias, in the same order
    for parameter, default in defaults.items():
        if default is None or (isinstance(default, float) and not math.isfinite(default)):
            continue
        try:
            properties[parameter]["default"] = to_jsonable_python(default)
        except ValueError:  # the model need not know it
            continue
    return Arguments(name, adapter, schema)
