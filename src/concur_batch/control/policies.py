"""Names on the command line -> policies: a controller (how much) and an admission (who)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from concur_batch.control.accounting import Accounting, AccountingParameters, Pool
from concur_batch.control.admission import SlotAdmission
from concur_batch.control.aimd import Aimd, AimdParameters
from concur_batch.control.base import Admission, Controller
from concur_batch.control.fixed import fixed, off
from concur_batch.control.forecast import Forecast
from concur_batch.control.forecast_parameters import ForecastParameters
from concur_batch.control.request_cap import requests
from concur_batch.control.turnover import Turnover, TurnoverParameters
from concur_batch.errors import InputError

M = TypeVar("M", bound=BaseModel)
_ADMISSION = ("pause", "back")
_MOST_DIGITS = 18  # of a number that somebody means


@dataclass(frozen=True, slots=True)
class Policy:
    """What stands behind one `--controller`, for one engine."""

    name: str
    controller: Controller
    admission: Admission
    blind: str | None = None  # what it does where an engine tells no statistics of its cache


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the user wrote."""

    name: str
    argument: str  # of the name, after the colon
    parameters: dict[str, Any]
    max_agents: int
    pool_tokens: int | None


def _aimd(asked: _Asked) -> Policy:
    admission, rest = _admission(asked)
    parameters = _checked(AimdParameters, rest, asked.name, _ADMISSION)
    law = Aimd(parameters, asked.max_agents)
    return Policy(asked.name, law, admission, _blind("the window follows", parameters.fallback))


def _fixed(asked: _Asked) -> Policy:
    if asked.argument == "auto":
        raise InputError("--controller fixed:auto is a sweep, for `concur compare` only: name a number, as in fixed:64")
    return _limited(asked, fixed(min(_number(asked, "agents"), asked.max_agents)))


def _off(asked: _Asked) -> Policy:
    return _limited(asked, off())


def _forecast(asked: _Asked) -> Policy:
    parameters = _checked(ForecastParameters, asked.parameters, asked.name)
    law = Forecast(parameters, asked.max_agents, asked.pool_tokens)
    return Policy(asked.name, law, law, _blind("the limit follows", parameters.fallback))


def _requests(asked: _Asked) -> Policy:
    return _limited(asked, requests(_number(asked, "model calls in flight")))


def _accounting(asked: _Asked) -> Policy:
    parameters = _checked(AccountingParameters, asked.parameters, asked.name)
    return Policy(
        asked.name, Pool(parameters, asked.max_agents), Accounting(parameters), f"the window is fixed:{parameters.fallback}"
    )


def _turnover(asked: _Asked) -> Policy:
    admission, rest = _admission(asked)
    parameters = _checked(TurnoverParameters, rest, asked.name, _ADMISSION)
    law = Turnover(parameters, asked.max_agents, admission, asked.pool_tokens)
    return Policy(asked.name, law, law, f"the limit is fixed:{parameters.fallback}")


def _blind(follows: str, fallback: int) -> str:
    return f"{follows} cached_tokens of the replies, and without these it is fixed:{fallback}"


_MAKERS: dict[str, Callable[[_Asked], Policy]] = {
    "aimd": _aimd,
    "fixed:N": _fixed,
    "forecast": _forecast,
    "requests:N": _requests,
    "accounting": _accounting,
    "turnover": _turnover,
    "off": _off,
}
NAMES = tuple(_MAKERS)


def make_policy(name: str, parameters: Mapping[str, Any], max_agents: int, pool_tokens: int | None = None) -> Policy:
    """A fresh policy for one engine. `max_agents` binds under every one; `pool_tokens`: of the engine, where it is known.

    Raises InputError with the nearest right name.
    """
    forms = {form.partition(":")[0]: form for form in NAMES}
    base, colon, argument = name.partition(":")
    form = forms.get(base)
    if form is None or (colon and form == base):
        near = difflib.get_close_matches(base, forms, n=1)
        guess = f"; did you mean {forms[near[0]]}? Known" if near else "; known"
        raise InputError(f"--controller {name}: there is no such controller{guess}: {', '.join(NAMES)}")
    return _MAKERS[form](_Asked(name, argument, dict(parameters), max_agents, pool_tokens))


def _limited(asked: _Asked, controller: Controller) -> Policy:
    """A policy whose controller has no parameters of its own."""
    admission, rest = _admission(asked)
    if rest:
        key = next(iter(rest))
        raise InputError(f"controller.{key}: {asked.name} has no parameters but pause and back{_owners(key)}")
    return Policy(asked.name, controller, admission)


_PARAMETERS: dict[str, type[BaseModel]] = {
    "aimd": AimdParameters,
    "forecast": ForecastParameters,
    "accounting": AccountingParameters,
    "turnover": TurnoverParameters,
}


def _owners(key: str) -> str:
    """For a message: which controllers have this parameter."""
    names = [name for name, model in _PARAMETERS.items() if key in model.model_fields]
    return f"; {' and '.join(names)} {'has' if len(names) == 1 else 'have'} it" if names else ""


def _number(asked: _Asked, of: str) -> int:
    digits = asked.argument
    if not digits.isdecimal() or len(digits) > _MOST_DIGITS or int(digits) < 1:
        raise InputError(f"--controller {asked.name}: give the number of {of}, as in {asked.name.partition(':')[0]}:64")
    return int(digits)


def _admission(asked: _Asked) -> tuple[SlotAdmission, dict[str, Any]]:
    """Who may run, as `pause` and `back` say; and the parameters that are left."""
    rest = dict(asked.parameters)
    given = {key: rest.pop(key) for key in _ADMISSION if key in rest}
    choices = {"pause": ("newest", "oldest", "largest", "smallest"), "back": ("oldest", "newest")}
    for key, value in given.items():
        if value not in choices[key]:
            raise InputError(f"controller.{key}: {value!r} is not one of {', '.join(choices[key])}")
    return SlotAdmission(**given), rest


def _checked(model: type[M], parameters: dict[str, Any], name: str, others: tuple[str, ...] = ()) -> M:
    """`parameters` as the policy's model has them. `others`: further names that are right beside these."""
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, [*model.model_fields, *others], n=1)
            mend = f"; did you mean {near[0]}?" if near else _owners(key)
            known = f"; it has {', '.join((*model.model_fields, *others))}"
            raise InputError(f"controller.{key}: {name} has no such parameter{mend or known}") from None
        message = first["msg"].removeprefix("Value error, ")
        if not key:  # parameters that contradict each other: it says which
            raise InputError(f"controller.{message}") from None
        raise InputError(f"controller.{key}: {message} (got {first['input']!r})") from None
