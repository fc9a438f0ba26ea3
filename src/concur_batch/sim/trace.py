"""One recorded agent as a row of counts, checked: the JSON-lines form of docs/workloads.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from concur_batch.sim.tokens import MOST_TOKENS
from concur_batch.sim.workload import LONGEST_S, AgentTrace

SHARED_TOKENS = 4096
"""Of a first prompt that does not tell its shared part: about a system prompt with its tools."""

_COUNT = "a whole number, 0 to 999,999,999"


class WrongRow(ValueError):
    """`field`: where; `text`: what is wrong there and what would be right."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text


def trace_of(row: Mapping[str, Any], shared_tokens: int | None = None) -> AgentTrace:
    """The agent of this row. Raises WrongRow for the first thing that is wrong. Fields not known are passed over.

    `shared_tokens`: in place of what the row says. A reply or an observation of 0 tokens is taken as 1: no message is without any.
    """
    prompt = _count(row, "input_prompt_length")
    if prompt == 0:
        raise WrongRow("input_prompt_length", "is 0; should be 1 or more")
    turns = _count(row, "num_turns")
    replies = _counts(row, "assistant_response_length", turns)
    observations = _counts(row, "tool_call_output_length", turns)
    seconds = _seconds(row, "tool_call_latency", turns)
    final = _count(row, "final_assistant_response_length")
    if shared_tokens is None:
        told = row.get("shared_prefix_length") is not None
        shared_tokens = _count(row, "shared_prefix_length") if told else SHARED_TOKENS
    return AgentTrace(
        shared_tokens=min(shared_tokens, prompt),
        prompt_tokens=prompt,
        outputs=tuple(max(1, count) for count in (*replies, final)),
        observations=tuple(max(1, count) for count in observations),
        tool_seconds=tuple(seconds),
        group=_group(row),
        expected_tokens=_expected(row),
    )


def _expected(row: Mapping[str, Any]) -> int | None:
    value = row.get("expected_tokens")
    if value is None:
        return None
    if not _is_count(value) or value == 0:
        raise WrongRow("expected_tokens", f"is {_short(value)}; should be a whole number, 1 to 999,999,999")
    return value


def _group(row: Mapping[str, Any]) -> str:
    value = row.get("group")
    if value is None:
        return ""
    if not isinstance(value, str) or not value.replace("-", "").replace("_", "").isalnum():
        raise WrongRow("group", f"is {_short(value)}; should be a name of letters, digits, - and _")
    return value


def _given(row: Mapping[str, Any], name: str) -> Any:
    if row.get(name) is None:
        raise WrongRow(name, "is missing; add it to the row")
    return row[name]


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _count(row: Mapping[str, Any], name: str) -> int:
    value = _given(row, name)
    if not _is_count(value):
        raise WrongRow(name, f"is {_short(value)}; should be {_COUNT}")
    return value


def _list(row: Mapping[str, Any], name: str, turns: int) -> list[Any]:
    values = _given(row, name)
    if not isinstance(values, list):
        raise WrongRow(name, f"is {_short(values)}; should be a list with one entry per tool turn")
    if len(values) != turns:
        raise WrongRow(name, f"has {len(values)} entries, and num_turns is {turns}; should have one entry per tool turn")
    return values


def _counts(row: Mapping[str, Any], name: str, turns: int) -> list[int]:
    values = _list(row, name, turns)
    for i, value in enumerate(values):
        if not _is_count(value):
            raise WrongRow(f"{name}[{i}]", f"is {_short(value)}; should be {_COUNT}")
    return values


def _seconds(row: Mapping[str, Any], name: str, turns: int) -> list[float]:
    values = _list(row, name, turns)
    for i, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
            raise WrongRow(f"{name}[{i}]", f"is {_short(value)}; should be seconds, 0 to {LONGEST_S:g}")
    return [float(value) for value in values]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."
