"""The columns of a job row as pydantic models, and pydantic's errors in our words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError, model_validator
from typing_extensions import TypedDict

from concur_batch.jobs.faults import PROMPT_IS_TEXT
from concur_batch.task import MOST_ROLLOUTS


def _whole(value: Any) -> Any:
    """1.0 is 1: tables turn whole numbers into floats as soon as one is missing."""
    return int(value) if type(value) is float and value.is_integer() else value


def as_id(value: Any) -> Any:
    """As text; rows are often numbered. Raises ValueError. Among floats beyond 2**53 not every whole number has one of its own."""
    if type(value) is str:
        return value
    if type(value) is float and math.isfinite(value) and abs(value) > _EXACT:
        raise ValueError(f"is {_short(value)}, too large a float to tell one id from the next; should be text or a whole number")
    value = _whole(value)
    if type(value) is int:
        return str(value)
    raise ValueError(f"is {_short(value)}; should be text or a whole number")


def json_text(value: Any) -> Any:
    """Lists and objects may come as JSON text, which is how tables often hold them."""
    if type(value) is str and value.lstrip()[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ValueError(f"text that is not whole JSON ({error}); should be JSON or the value itself") from error
        except RecursionError:
            raise ValueError("text that is nested too deeply to be read; flatten it") from None
    return value


def _prompt(value: Any) -> Any:
    if type(value) is list:
        raise ValueError(f"is {_short(value)}; {PROMPT_IS_TEXT}")
    return value


def _content(value: Any) -> Any:
    if value is None or type(value) is str or (type(value) is list and all(type(part) is dict for part in value)):
        return value
    raise ValueError("should be text, null or a list of content parts")


def _arguments(value: Any) -> Any:
    if type(value) in {dict, str}:
        return value
    raise ValueError("should be an object, or its JSON text")


_EXACT = 2**53  # so far every JSON reader holds whole numbers exactly

Text = Annotated[str, Strict()]
Name = Annotated[str, Strict(), Field(min_length=1)]
Seed = Annotated[int, Strict(), Field(ge=-_EXACT, le=_EXACT), BeforeValidator(_whole)]
Positive = Annotated[int, Strict(), Field(ge=1, le=_EXACT), BeforeValidator(_whole)]
Rollouts = Annotated[int, Strict(), Field(ge=1, le=MOST_ROLLOUTS), BeforeValidator(_whole)]
Tokens = Annotated[int, Strict(), Field(ge=1, lt=10**9), BeforeValidator(_whole)]
Arguments = Annotated[Any, BeforeValidator(_arguments)]


class MessageShape(TypedDict):
    """What every OpenAI message has in common; everything else in it is the model server's business."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[Annotated[Any, BeforeValidator(_content)]]


class ExtraBody(TypedDict, total=False):
    """Further request-body fields; only the seed is ours, as each rollout has one of its own."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    seed: Seed | None


class SamplingShape(TypedDict, total=False):
    """Request-body fields that are checked; all others go to the engine as they are."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    temperature: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
    top_p: Annotated[float, Strict(), Field(ge=0, le=1)]
    max_tokens: Positive
    max_completion_tokens: Positive
    seed: Seed
    extra_body: ExtraBody


def _fields(value: Any) -> Any:
    """An object, or its JSON text, without its nulls: they stand for absent fields."""
    value = json_text(value)
    if type(value) is dict and None in value.values():
        return {key: item for key, item in value.items() if item is not None}
    return value


def _limits(value: Any) -> Any:
    value = _fields(value)
    if type(value) is dict and "max_turns" in value:
        if "max_steps" in value:
            raise ValueError("max_turns is another name of max_steps; give one of the two")
        return {"max_steps" if key == "max_turns" else key: item for key, item in value.items()}
    return value


class LimitsShape(TypedDict, total=False):
    """Bounds of each rollout of the task."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    max_steps: Positive
    max_output_tokens: Positive
    max_total_tokens: Positive
    timeout_s: Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
    context_length: Positive


class CallRow(TypedDict):
    """One scripted tool call."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    name: Name
    arguments: NotRequired[Arguments]


class TurnRow(BaseModel):
    """One scripted assistant turn; plain text stands for `{"content": text}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    content: Text | None = None
    tokens: Tokens | None = None
    tool_calls: list[CallRow] | None = None
    finish_reason: Literal["stop", "length", "tool_calls", "abort"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        return {"content": value} if type(value) is str else value

    @model_validator(mode="after")
    def _one_form(self) -> TurnRow:
        if self.content is not None and self.tokens is not None:
            raise ValueError("has both content and tokens; tokens stands in place of content")
        if self.content is None and self.tokens is None and not self.tool_calls:
            raise ValueError("says nothing; should have content, tokens or tool_calls")
        return self


class Row(BaseModel):
    """The known columns of one job row, aliases resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, Field(min_length=1), BeforeValidator(as_id)] | None = None
    prompt: Annotated[Name, BeforeValidator(_prompt)] | None = None
    messages: Annotated[list[MessageShape], Field(min_length=1), BeforeValidator(json_text)] | None = None
    system: Text | None = None
    tools: Annotated[list[Any], BeforeValidator(json_text)] | None = None
    agent: Name | None = None
    model: Name | None = None
    sampling: Annotated[SamplingShape, BeforeValidator(_fields)] | None = None
    extra_body: Annotated[ExtraBody, BeforeValidator(json_text)] | None = None
    limits: Annotated[LimitsShape, BeforeValidator(_limits)] | None = None
    expected_tokens: Tokens | None = None
    n: Rollouts | None = None
    seed: Seed | None = None
    target: Any = None
    metadata: Annotated[dict[str, Any], BeforeValidator(json_text)] | None = None
    script: Annotated[list[TurnRow], Field(min_length=1), BeforeValidator(json_text)] | None = None


COLUMNS = frozenset(Row.model_fields)
check_row = Row.__pydantic_validator__.validate_python  # model_validate without its options, which cost half as much again
ID_ALIASES = ("custom_id", "task_id", "instance_id", "problem_id")  # in this order, where there is no `id`

_NAMES = {
    "limits": [*LimitsShape.__annotations__, "max_turns"],
    "tool_calls": list(CallRow.__annotations__),
    "script": list(TurnRow.model_fields),
}
_OUR_WORDS = (
    ("Input should be", "should be"),
    ("a valid dictionary or instance of TurnRow", "an object or text"),
    ("a valid dictionary", "an object"),
    ("a valid string", "text"),
    ("a valid list", "a list"),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
)


def problems(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Each fault pydantic found as (dotted field, what is wrong and what would be right)."""
    for detail in error.errors(include_url=False):
        field = ".".join(str(piece) for piece in detail["loc"])
        if detail["type"] == "extra_forbidden":
            yield field, _unknown(detail["loc"])
        else:
            yield field, _explain(detail["type"], detail["msg"], detail["input"])


def _unknown(loc: tuple[int | str, ...]) -> str:
    names = next((_NAMES[piece] for piece in reversed(loc[:-1]) if isinstance(piece, str) and piece in _NAMES), None)
    return f"is not known here; {'leave it out or correct its name' if names is None else 'known are ' + ', '.join(names)}"


def _explain(kind: str, message: str, value: Any) -> str:
    if kind == "missing":
        return "is missing; should be given"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if value in ("", [], {}):
        return "is empty; should be given or left out"
    for theirs, ours in _OUR_WORDS:
        message = message.replace(theirs, ours)
    return f"is {_short(value)}; {message[:1].lower()}{message[1:]}"


def _short(value: Any) -> str:
    if type(value) is float and math.isinf(value):  # out of a table: JSON has none
        return "infinite"
    try:
        text = msgspec.json.encode(value, enc_hook=repr).decode()
    except (TypeError, ValueError):  # a value that JSON cannot hold, from an agent's own validator
        text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
