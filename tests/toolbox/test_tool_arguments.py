from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.toolbox import tool
from concur_batch.toolbox.arguments import Arguments, BadArgumentsError, Parsed
from concur_batch.toolbox.signature import read_tool


@tool
def find(city: str, limit: int = 3) -> str:
    """Find."""
    return city


@tool
def nothing() -> str:
    """Nothing."""
    return ""


@tool
def scale(by: float, points: list[float] | None = None) -> str:
    """Scale."""
    return ""


@pytest.mark.parametrize("text", ['{"by": NaN}', '{"by": 1e999}', '{"by": "-inf"}', '{"by": 1, "points": [Infinity]}'])
def test_a_number_is_finite(text: str) -> None:
    with pytest.raises(BadArgumentsError, match="Input should be a finite number"):
        read_tool(scale).arguments.parse(text)


@pytest.fixture
def arguments() -> Arguments:
    return read_tool(find).arguments


def test_strict_json_is_not_repaired(arguments: Arguments) -> None:
    assert arguments.parse('{"city": "Bern", "limit": "5"}') == Parsed({"city": "Bern", "limit": 5}, repaired=False)
    assert arguments.parse({"city": "Bern"}) == Parsed({"city": "Bern"}, repaired=False)


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Bern",}',
        "{'city': 'Bern'}",
        '```json\n{"city": "Bern"}\n```',
        '{"city": "Bern"',
        '{city: "Bern"}',
        '"{\\"city\\": \\"Bern\\"}"',
    ],
)
def test_broken_json_is_repaired_and_said_to_be(arguments: Arguments, text: str) -> None:
    assert arguments.parse(text) == Parsed({"city": "Bern"}, repaired=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "city: Field required"),
        ("{}", "city: Field required"),
        ("[]", "arguments: Input should be an object"),
        ('"Bern"', "arguments: Input should be an object"),
        ("Bern, please", "Invalid JSON"),
        ('{"city": "Bern", "limit": "many"}', "limit: Input should be a valid integer"),
        ('{"city": "Bern", "limits": 3}', "limits: Extra inputs are not permitted"),
        ("{'town': 'Bern'}", "city: Field required; town: Extra inputs are not permitted"),
        ('{"city": "\\ud800"}', "Invalid JSON"),
        ("{'city': '" + "x" * 60_000 + "'}", "Invalid JSON"),
    ],
)
def test_the_model_is_told_the_fault_and_the_schema(arguments: Arguments, text: str, why: str) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        arguments.parse(text)
    told, schema = str(caught.value).split("\nExpected, as JSON schema: ")
    assert told.startswith("The arguments do not fit the tool `find`: ")
    assert why in told
    assert len(told) < 1000
    assert json.loads(schema) == arguments.schema


@pytest.mark.parametrize("text", ["", "  ", "{}", " {} ", "null", {}])
def test_a_tool_without_parameters_takes_nothing(text: str | dict[str, str]) -> None:
    assert read_tool(nothing).arguments.parse(text).values == {}


def test_a_tool_without_parameters_takes_nothing_else() -> None:
    with pytest.raises(BadArgumentsError, match="x: Extra inputs"):
        read_tool(nothing).arguments.parse('{"x": 1}')


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    parsing = read_tool(find).arguments
    for attempt in (text, '{"city": "' + text, "{'city': " + text):
        try:
            values = parsing.parse(attempt).values
        except BadArgumentsError:
            continue
        assert isinstance(values["city"], str)
        values["city"].encode()
