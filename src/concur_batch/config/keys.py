"""One given value: is its key known, is its type right, what is it as a value. Refusals name the source and the mend."""

from __future__ import annotations

import difflib
import json
import math
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from concur_batch.config.model import ALIASES, FREE, RESERVED, SECTIONS, Sampling, shortened
from concur_batch.config.secrets import redact
from concur_batch.errors import InputError
from concur_batch.task import UNASKED

Path = tuple[str, ...]
KEYS: tuple[Path, ...] = tuple((section, key) for section, model in SECTIONS.items() for key in model.model_fields)
_WORDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list of texts",
    "dict_type": "a table",
    "too_short": "a list of at least one",
    "string_too_short": "some text",
}


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was given. `source` is for people: `environment CONCUR_OUT`. `text`: typed by hand, no type of its own."""

    path: Path
    value: Any
    source: str
    text: bool = False

    @property
    def dotted(self) -> str:
        """The key as people write it."""
        return ".".join(self.path)


def checked(given: Given) -> Iterator[Given]:
    """The same with its right key and value; a table given to a free section becomes one value per leaf.

    Raises InputError in one sentence: unknown key (with the nearest right one) or wrong type.
    """
    path = ALIASES.get(given.path, given.path)
    given = replace(given, path=path)
    if path in KEYS:
        yield replace(given, value=_value(given), text=False)
    elif len(path) > 1 and path[0] in FREE and all(path):
        for leaf in _leaves(replace(given, value=_free(given) if given.text else given.value, text=False)):
            if path[0] == "sampling":
                _check_sampling(leaf)
            yield leaf
    else:
        raise InputError(f"{given.source}: unknown key {given.dotted}{nearest(path)}")


def sampled(given: Given) -> Given:
    """The same, a whole number in `sampling` or its `extra_body` as such. Raises InputError for what a job row may not have there either.

    Not asked of what was saved: a run goes on with what it was begun with.
    """
    if not _is_checked(given.path):
        return given
    key = given.path[-1]
    try:
        value = Sampling.model_validate({key: given.value}, strict=True)
    except ValidationError as problem:
        raise InputError(f"{given.source}: {_sentence(given.dotted, problem)}.") from None
    return replace(given, value=getattr(value, key))


def _is_checked(path: Path) -> bool:
    """Whether it is a key of `sampling`, or of its `extra_body`, whose values are known here."""
    return path[0] == "sampling" and path[1:-1] in ((), ("extra_body",)) and path[-1] in Sampling.model_fields


def nearest(path: Path) -> str:
    """`; did you mean a.b?`, or what there is."""
    if len(path) == 1 and path[0] in (*SECTIONS, *FREE):
        return f"; it is a section, give one of its keys: {path[0]}.{_first_key(path[0])}"
    section = difflib.get_close_matches(path[0], [*SECTIONS, *FREE], n=1)
    if path[0] not in SECTIONS and section and section[0] in FREE:  # its further keys are not known here
        return f"; did you mean {'.'.join((section[0], *path[1:]))}?"
    known = [".".join(key) for key in (*KEYS, *ALIASES)]
    same_leaf = [key for key in known if key.split(".")[1] == path[-1]]
    close = same_leaf or difflib.get_close_matches(".".join(path), known, n=1, cutoff=0.8)
    if not close:
        leaves = difflib.get_close_matches(path[-1], [key.split(".")[1] for key in known], n=1, cutoff=0.8)
        close = [key for key in known if leaves and key.split(".")[1] == leaves[0]]
    if close:
        return f"; did you mean {close[0]}?"
    model = SECTIONS.get(path[0])
    if model is not None:
        return f"; [{path[0]}] has {', '.join(model.model_fields)}"
    return f"; the sections are {', '.join(dict.fromkeys((*SECTIONS, *sorted(FREE))))}"


def _first_key(section: str) -> str:
    if section in SECTIONS:
        return next(iter(SECTIONS[section].model_fields))
    return {"sampling": "temperature", "workload": "output_median"}[section]


def _value(given: Given) -> Any:
    """The value of a known key, in its type."""
    section, key = given.path
    model = SECTIONS[section]
    value = _from_text(given, model.model_fields[key].annotation) if given.text else given.value
    try:
        checked = model.model_validate({key: value}, strict=not given.text)
    except ValidationError as problem:
        raise InputError(f"{given.source}: {_sentence(given.dotted, problem)}.") from None
    return getattr(checked, key)


def _sentence(dotted: str, problem: ValidationError) -> str:
    error = problem.errors(include_url=False)[0]
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "value_error":
        return f"{dotted} {context['error']}"
    bounds = {
        "greater_than_equal": f"at least {context.get('ge')}",
        "greater_than": f"greater than {context.get('gt')}",
        "less_than_equal": f"at most {context.get('le', 0):,}",
    }
    expected = _WORDS.get(kind) or bounds.get(kind) or context.get("expected") or error["msg"]
    secret = dotted == "engine.api_key"
    return f"{dotted} must be {expected}" + ("" if secret else f", not {shortened(redact(value))}")


def _from_text(given: Given, annotation: Any) -> Any:
    """What was typed, with lists split and an empty or `none` value understood; pydantic reads the rest."""
    text: str = given.value
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if type(None) in choices and text.lower() in ("", "none", *(() if str in choices else ("null",))):
        return None
    if any(get_origin(choice) is list for choice in choices):
        if text.startswith("["):
            return _free(given)
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _free(given: Given) -> Any:
    """A typed value without a declared type: JSON or a TOML value where it reads as one, else the text itself.

    In `sampling` and `controller`, where no key has to be there, an empty value is none; `none` also, where nobody can mean something by it.
    """
    text: str = given.value
    if given.path[0] in ("sampling", "controller") and (
        not text or (_never_text(given.path) and text.lower() in ("none", "null"))
    ):
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        pass
    try:
        value = parsed(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise InputError(f"{given.source}: {given.dotted} {too_much(error)}.") from None
    return value["value"] if len(value) == 1 and _is_wire_data(value["value"]) else text


def _never_text(path: Path) -> bool:
    return path[0] == "controller" or _is_checked(path) or path == ("sampling", "extra_body")


def parsed(toml: str) -> dict[str, Any]:
    """What stands in it. Raises TOMLDecodeError, else for `too_much` ValueError or RecursionError."""
    table = tomllib.loads(toml)
    repr(table)  # in hexadecimal, numbers of any length are read, which nobody could be told of
    return table


def too_much(error: Exception) -> str:
    """What is said of a value that a parser gives up on though there is no fault in it."""
    if isinstance(error, RecursionError):
        return "is nested too deeply to be read"
    return f"holds a number of more than {sys.get_int_max_str_digits():,} digits; write it as text"


def _check_sampling(leaf: Given) -> None:
    """`sampling` and its `extra_body`, which is merged into it, say how a request is sampled, and nothing else of it."""
    inner = leaf.path[2:] if leaf.path[1] == "extra_body" else leaf.path[1:]
    if not inner:
        if leaf.value not in ({}, None):
            raise InputError(f"{leaf.source}: {leaf.dotted} must be a table, not {shortened(redact(leaf.value))}.")
    elif inner[0] in RESERVED and (inner == leaf.path[1:] or leaf.value not in UNASKED.get(inner[0], ())):
        raise InputError(f"{leaf.source}: {leaf.dotted} cannot be set here; {RESERVED[inner[0]]}.")


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _is_wire_data(value: Any) -> bool:
    """Whether it can be sent as JSON: no dates, no infinities."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_wire_data(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_wire_data(item) for item in value)
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _leaves(given: Given) -> Iterator[Given]:
    if isinstance(given.value, dict) and given.value:
        for key, value in given.value.items():
            yield from _leaves(replace(given, path=(*given.path, key), value=value))
    elif _is_wire_data(given.value):
        yield given
    else:
        raise InputError(f"{given.source}: {given.dotted} must be text, a number, true, false or a list, not {given.value}.")
