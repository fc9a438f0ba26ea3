from __future__ import annotations

from typing import Any

import pytest

from concur_batch.toolbox import tool
from concur_batch.toolbox.decorator import MARK
from concur_batch.toolbox.rate import Rate


def test_the_function_stays_what_it_is() -> None:
    @tool
    def bare(x: int) -> int:
        return x + 1

    @tool(name="other-name", repeatable=True, timeout_s=2, rate="5/s", max_output_chars=10)
    async def full() -> str:
        return ""

    assert bare(1) == 2
    assert getattr(bare, MARK).name == "bare"
    options = getattr(full, MARK)
    assert (options.name, options.repeatable, options.timeout_s) == ("other-name", True, 2)
    assert (options.rate, options.max_output_chars) == (Rate(5, 1.0), 10)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "two words"}, "a tool's name is"),
        ({"name": ""}, "a tool's name is"),
        ({"timeout_s": 0}, "timeout_s of tool"),
        ({"timeout_s": float("nan")}, "timeout_s of tool"),
        ({"max_output_chars": 0}, "max_output_chars"),
        ({"rate": "often"}, "a rate is"),
        ({"rate": (1, 2, 3)}, "a rate is"),
        ({"rate": ("5", "s")}, "a rate is"),
        ({"rate": [5, 1]}, "a rate is"),
        ({"rate": True}, "a rate is"),
        ({"rate": float("inf")}, "a rate is"),
        ({"name": 5}, "a tool's name is"),
        ({"timeout_s": "5"}, "timeout_s of tool function is a number of seconds above 0, not '5'"),
        ({"timeout_s": True}, "timeout_s of tool"),
        ({"max_output_chars": "9"}, "max_output_chars"),
        ({"max_output_chars": 1.5}, "max_output_chars"),
        ({"repeatable": "no"}, "repeatable of tool function is True or False"),
    ],
)
def test_options_without_meaning_are_refused(given: dict[str, Any], why: str) -> None:
    def function() -> None: ...

    with pytest.raises(ValueError, match=why):
        tool(**given)(function)


def test_only_functions_are_tools() -> None:
    with pytest.raises(TypeError, match="stands before a function"):
        tool(type("Thing", (), {}))
