from __future__ import annotations

import functools
import math
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from concur_batch.errors import InputError
from concur_batch.toolbox import ToolContext, tool
from concur_batch.toolbox.signature import read_tool


class Place(BaseModel):
    title: str
    height: float = 0


@tool(repeatable=True)
def everything(
    name: str,
    schema: Literal["a", "b"] = "a",
    *,
    count: Annotated[int, Field(ge=1, description="How many.")] = 3,
    when: date | None = None,
    ratio: float = math.inf,
    places: list[Place] = [],  # noqa: B006
    context: ToolContext,
) -> str:
    """Does everything.

    Args:
        name: The name.
        count: Not used, as the annotation says more.
        context: Never shown.
    """
    return ""


def test_the_schema_comes_from_annotations_and_docstring() -> None:
    read = read_tool(everything)
    parameters = read.spec.parameters
    assert (read.spec.name, read.spec.description, read.spec.repeatable) == ("everything", "Does everything.", True)
    assert parameters["required"] == ["name"]
    assert parameters["additionalProperties"] is False
    assert "title" not in parameters
    properties = parameters["properties"]
    assert list(properties) == ["name", "schema", "count", "when", "ratio", "places"]
    assert properties["name"] == {"type": "string", "description": "The name."}
    assert properties["schema"] == {"enum": ["a", "b"], "type": "string", "default": "a"}
    assert properties["count"] == {"description": "How many.", "minimum": 1, "type": "integer", "default": 3}
    assert "default" not in properties["when"]
    assert "default" not in properties["ratio"]
    assert "title" in parameters["$defs"]["Place"]["properties"]
    assert read.context == "context"
    assert read.place.startswith(__file__)


def test_arguments_become_what_the_function_wants() -> None:
    read = read_tool(everything)
    values, repaired = read.arguments.parse('{"name": 5, "when": "2024-02-29", "places": [{"title": "x"}]}')
    assert values == {"name": "5", "when": date(2024, 2, 29), "places": [Place(title="x")]}
    assert not repaired


def test_an_argument_is_known_by_its_alias_and_handed_on_by_its_name() -> None:
    @tool
    def mail(to: str, from_: Annotated[str, Field(alias="from")] = "me") -> str:
        return from_

    read = read_tool(mail)
    assert read.spec.parameters["properties"]["from"] == {"type": "string", "default": "me"}
    assert read.arguments.parse('{"to": "you", "from": "her"}').values == {"to": "you", "from_": "her"}


@pytest.mark.parametrize(
    "kind",
    [
        ToolContext,
        ToolContext | None,
        Optional[ToolContext],  # noqa: UP045
        Annotated[ToolContext, "given"],
        Annotated[ToolContext | None, "given"],
        Annotated[ToolContext, "given"] | None,
    ],
)
def test_the_context_is_no_argument_however_its_type_is_written(kind: Any) -> None:
    def look(path: str, context: Any = None) -> str:
        return path

    look.__annotations__["context"] = kind
    read = read_tool(tool(look))
    assert read.context == "context"
    assert list(read.spec.parameters["properties"]) == ["path"]


def test_a_tool_may_wrap_what_is_no_plain_function() -> None:
    def power(base: int, exponent: int = 1) -> int:
        return base**exponent

    @tool
    @functools.wraps(functools.partial(power, exponent=2))
    def square(base: int, exponent: int = 2) -> int:
        return power(base, exponent)

    assert read_tool(square).place.startswith(__file__)
    assert read_tool(square).arguments.parse('{"base": 3}').values == {"base": 3}


def untyped(x): ...  # type: ignore[no-untyped-def]


def star(*xs: int) -> None: ...


def stars(**xs: int) -> None: ...


def positional(x: int, /) -> None: ...


def positional_context(context: ToolContext, /) -> None: ...


def default_field(x: int = Field(3)) -> None: ...


def odd_type(x: Callable[[], int]) -> None: ...


def odd_pattern(x: Annotated[str, Field(pattern=r"^(?!-)\w+$")]) -> None: ...


def unknown_type(x: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def generator(x: int) -> Any:
    yield x


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (untyped, r"parameter `x` of tool untyped has no type; write `x: str`"),
        (star, r"takes `\*xs: .*write each parameter out by name"),
        (stars, r"takes `\*\*xs"),
        (positional, r"takes `x"),
        (positional_context, r"takes `context"),
        (default_field, r"has Field\(...\) as its default; write `x: Annotated"),
        (odd_type, r"a type that JSON cannot carry"),
        (odd_pattern, r"a bound that cannot be checked \(look-around.* is not supported\)"),
        (unknown_type, r"cannot be read \(name 'NoSuchType' is not defined\)"),
        (generator, r"yields values"),
    ],
)
def test_what_cannot_be_offered_is_said_with_its_place(function: Any, why: str) -> None:
    line = function.__code__.co_firstlineno
    with pytest.raises(InputError, match=why) as caught:
        read_tool(tool(function))
    assert str(caught.value).startswith(f"{__file__}:{line}: ")
    assert "\n" not in str(caught.value)
