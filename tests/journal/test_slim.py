"""The fold of slim records comes to what the fold of whole ones comes to, in everything that is kept."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur_batch import records as r
from concur_batch.journal.slim import SLIM, SlimState, decode_lines
from concur_batch.state import RunState

NAMES = st.sampled_from(["a#0", "a#1", "b#0"])
TEXTS = st.text(max_size=8)
SMALL = st.integers(0, 50)
BY_NAME = {
    "rollout": NAMES,
    "engine": st.sampled_from(["e", "f"]),
    "tool": st.sampled_from(["look", "run"]),
    "status": st.sampled_from(["completed", "error", "cancelled"]),
    "attempt": st.integers(1, 3),
}


def of_type(name, kind):
    """Values for a field."""
    if name in BY_NAME:
        return BY_NAME[name]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is int:
        return SMALL
    if kind is float:
        return st.floats(0, 100)
    if kind is bool:
        return st.booleans()
    if kind is str:
        return TEXTS
    if kind == Sequence[int]:
        return st.lists(SMALL, max_size=3)
    options = [option for option in get_args(kind) if option is not type(None)]
    if type(None) in get_args(kind):
        return st.none() | of_type(name, options[0])
    if kind is r.ErrorInfo:
        return st.builds(r.ErrorInfo, error_class=st.sampled_from(["agent", "tool"]), message=TEXTS)
    messages = st.dictionaries(TEXTS, TEXTS, max_size=2)
    return st.lists(messages, max_size=2) if kind.__name__ == "list" else messages


def some(kind):
    fields = {field.name: of_type(field.name, field.type) for field in msgspec.structs.fields(kind) if field.name != "v"}
    fields.pop("target", None)
    return st.builds(kind, **fields)


KINDS = get_args(r.AnyRecord)
ANY = st.lists(st.one_of(*(some(kind) for kind in KINDS)), max_size=40)


def lines(records):
    return b"".join(r.encoder.encode(record) + b"\n" for record in records)


def plain(value):
    """Anything that a state holds, so that it can be compared: also of objects that do not say what they equal."""
    if isinstance(value, RunState):
        return {name: plain(held) for name, held in vars(value).items() if name != "_apply"}
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(held) for key, held in value.items()}
    if hasattr(value, "__dict__"):
        return {name: plain(held) for name, held in vars(value).items()}
    if isinstance(value, str | int | float | type(None)):
        return value
    return [plain(held) for held in value]


def folds_to(state, records):
    for record in records:
        state.apply(record)
    return plain(state)


@settings(max_examples=200)
@given(ANY)
def test_both_folds_keep_the_same(records):
    block = lines(records)
    whole = [r.decoder.decode(line) for line in block.splitlines()]
    assert folds_to(SlimState(), decode_lines(block)) == folds_to(RunState(), whole)


@given(st.sampled_from(list(SLIM)).flatmap(some))
def test_what_a_slim_record_has_is_what_was_written(record):
    (slim,) = decode_lines(lines([record]))
    if isinstance(slim, r.ToolFinished):
        assert slim == record
        assert not slim.ok
    else:
        kept = [field.name for field in msgspec.structs.fields(SLIM[type(record)])]
        assert {name: getattr(slim, name) for name in kept} == {name: getattr(record, name) for name in kept}


def test_a_tool_call_that_failed_is_read_whole():
    fine = r.ToolFinished(t=1.0, rollout="a#0", step=1, n=1, tool="run", output='"ok":false')
    bad = r.ToolFinished(t=2.0, rollout="a#0", step=1, n=2, tool="run", output="no such file", ok=False, error_class="tool")
    slim, whole = decode_lines(lines([fine, bad]))
    assert whole == bad
    assert not hasattr(slim, "output")
    assert decode_lines(b"\n" + lines([fine]) + b"\n" + lines([bad]))[1] == bad


def test_a_broken_line_raises():
    with pytest.raises(msgspec.DecodeError):
        decode_lines(b'{"kind":"tool_started"\n')
    with pytest.raises(msgspec.DecodeError):
        decode_lines(b'{"kind":"from_the_future","t":0}\n')
