"""What a tool returned, as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from concur_batch.errors import ToolError
from concur_batch.toolbox.outputs import as_text


@dataclass
class Named:
    name: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["half \ud800", "whole é"], '["half ?","whole é"]'),
        ({"half \ud800": {"a": ("\udfff", 1)}, "far": math.inf}, '{"half ?":{"a":["?",1]},"far":"Infinity"}'),
        ({(1, "x"): "half \ud800"}, '{"1,x":"half ?"}'),
        ({"found": [Named("half \ud800")], "none": None}, '{"found":[{"name":"half ?"}],"none":null}'),
    ],
)
def test_half_a_surrogate_pair_does_not_lose_what_it_is_in(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_what_cannot_be_read_twice_is_not_told_in_part() -> None:
    with pytest.raises(ToolError, match="neither text nor JSON: surrogates not allowed in what a generator gives"):
        as_text({"lines": (line for line in ("one", "half \ud800", "three"))})


def test_what_holds_itself_is_no_json_also_beside_half_a_surrogate_pair() -> None:
    value: dict[str, Any] = {"name": "half \ud800"}
    value["self"] = value
    with pytest.raises(ToolError, match="neither text nor JSON"):
        as_text(value)
