"""The place of a value in a refusal that is made only when somebody uses it."""

import pytest

from concur_batch.config import resolve
from concur_batch.config.places import placing
from concur_batch.errors import InputError, RunDirectoryError


def told(message, key="controller.name", env=None, sets=(), kind=InputError):
    config = resolve({}, sets, None, env or {})
    with pytest.raises(kind) as caught, placing(config, key):
        raise kind(message)
    return str(caught.value)


def test_a_variable_is_named_in_front():
    env = {"CONCUR_CONTROLLER": "foo", "CONCUR_SIM_PAGE_SIZE": "7"}
    assert told("--controller foo: is none", env=env) == "environment CONCUR_CONTROLLER: controller foo: is none"
    assert told("sim.page_size 7: is odd", env=env) == "environment CONCUR_SIM_PAGE_SIZE: sim.page_size 7: is odd"
    assert told("foo: is a file", env=env, kind=RunDirectoryError) == "environment CONCUR_CONTROLLER: foo: is a file"


def test_what_nobody_gave_or_the_command_line_stays_as_it_is():
    env = {"CONCUR_CONTROLLER": "foo"}
    assert told("sim.page_size 7: is odd", env=env) == "sim.page_size 7: is odd"
    assert told("controller.first: is odd", sets=["controller.first=x"]) == "controller.first: is odd"
    assert told("--engine a: is odd", "engine.urls") == "--engine a: is odd"
