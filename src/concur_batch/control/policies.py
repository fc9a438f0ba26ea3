"""Names on the command line -> policies: a controller (how much) and an admission (who)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.aimd import Aimd, AimdParameters
from concur_batch.control.base import Admission, Controller
from concur_batch.control.fixed import fixed, off
from concur_batch.errors import InputError

NAMES = ("aimd", "fixed:N", "off")
_ADMISSION = ("pause", "back")


@dataclass(frozen=True, slots=True)
class Policy:
    """What stands behind one `--controller`, for one engine."""

    name: str
    controller: Controller
    admission: Admission


def make_policy(name: str, parameters: Mapping[str, Any], max_agents: int) -> Policy:
    """A fresh policy for one engine. `max_agents` binds under every one. Raises InputError with the nearest right name."""
    parameters = dict(parameters)
    admission = _admission({key: parameters.pop(key) for key in _ADMISSION if key in parameters})
    base, _, argument = name.partition(":")
    if base == "fixed":
        if not argument.isdigit() or int(argument) < 1:
            raise InputError(f"--controller {name}: give the number of agents, as in fixed:64")
        controller: Controller = fixed(min(int(argument), max_agents))
    elif name == "off":
        controller = off()
    elif name == "aimd":
        return Policy(name, Aimd(_checked_aimd(parameters), max_agents), admission)
    else:
        near = difflib.get_close_matches(base, ["aimd", "fixed", "off"], n=1)
        guess = f"; did you mean {near[0]}{':N' if near == ['fixed'] else ''}? Known" if near else "; known"
        raise InputError(f"--controller {name}: there is no such controller{guess}: {', '.join(NAMES)}")
    if parameters:
        raise InputError(f"controller.{next(iter(parameters))}: {name} has no parameters but pause and back")
    return Policy(name, controller, admission)


def _admission(parameters: dict[str, Any]) -> SlotAdmission:
    choices = {"pause": ("newest", "oldest", "largest", "smallest"), "back": ("oldest", "newest")}
    for key, value in parameters.items():
        if value not in choices[key]:
            raise InputError(f"controller.{key}: {value!r} is not one of {', '.join(choices[key])}")
    return SlotAdmission(**parameters)


def _checked_aimd(parameters: dict[str, Any]) -> AimdParameters:
    try:
        return AimdParameters.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, [*AimdParameters.model_fields, *_ADMISSION], n=1)
            raise InputError(
                f"controller.{key}: aimd has no such parameter{f'; did you mean {near[0]}?' if near else ''}"
            ) from None
        raise InputError(f"controller.{key}: {first['msg']} (got {first['input']!r})") from None
