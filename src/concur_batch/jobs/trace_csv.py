"""TraceLab's CSV (github.com/uw-syfi/TraceLab, artifacts/trace_facts/csv_export): one model call per row, sessions by `id`."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from concur_batch.jobs.faults import Fault
from concur_batch.sim.tokens import MOST_TOKENS
from concur_batch.sim.trace import SHARED_TOKENS
from concur_batch.sim.workload import LONGEST_S, AgentTrace

COLUMNS = ("id", "round_idx", "prefix_len", "input_len", "output_len", "tool_wait_after_ms")


class _Round(NamedTuple):
    """One model call of a session."""

    place: int
    line: int
    prompt: int  # tokens: the cached prefix and what was appended
    output: int
    wait_s: float


def read_sessions(rows: csv.DictReader[str], name: str, shared_tokens: int | None) -> Iterator[AgentTrace | Fault]:
    """The agents of all sessions, in the order in which the sessions begin in the file; first what is wrong with rows.

    A prompt is `prefix_len + input_len`, whatever part of it the recording server had cached. The observation is what the
    prompt grew by since the one before, less that call's reply, at least 1. Where a prompt is shorter than the one before,
    the session was compacted: a new agent begins.
    """
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if rows.fieldnames is not None and missing:
        yield Fault(f"{name}:1", "", f"has no column {', '.join(missing)}; should be a CSV that TraceLab's csv_export wrote")
        return
    sessions: dict[str, list[_Round]] = {}
    row = None
    for row in rows:
        found = _round(row, f"{name}:{rows.line_num}", rows.line_num)
        if isinstance(found, Fault):
            yield found
        else:
            sessions.setdefault(row["id"] or "", []).append(found)
    if row is None and rows.fieldnames is not None:
        yield Fault(f"{name}:1", "", "is a header and nothing follows; should be followed by a row per model call")
    for rounds in sessions.values():
        for part in _parts(sorted(rounds)):
            yield _trace(part, shared_tokens)


def _round(row: dict[str, str | None], where: str, line: int) -> _Round | Fault:
    counts: dict[str, int] = {}
    for column in ("round_idx", "prefix_len", "input_len", "output_len"):
        value = _number(row[column])
        if value is None or not value.is_integer() or not 0 <= value <= MOST_TOKENS:
            return Fault(where, column, f"is {_told(row[column])}; should be a whole number, 0 to {MOST_TOKENS:,}")
        counts[column] = int(value)
    wait_ms = _number(row["tool_wait_after_ms"])
    if wait_ms is None or not 0 <= wait_ms <= LONGEST_S * 1000:
        told = _told(row["tool_wait_after_ms"])
        return Fault(where, "tool_wait_after_ms", f"is {told}; should be milliseconds, 0 to {LONGEST_S * 1000:,.0f}")
    if not row["id"]:
        return Fault(where, "id", "is missing; should be the session's number")
    prompt = max(1, counts["prefix_len"] + counts["input_len"])
    if prompt > MOST_TOKENS:
        return Fault(where, "input_len", f"makes {prompt:,} tokens with prefix_len; should be {MOST_TOKENS:,} at most")
    return _Round(counts["round_idx"], line, prompt, max(1, counts["output_len"]), wait_ms / 1000)


def _number(text: str | None) -> float | None:
    """None for what is no finite number; a row that is too short has None for its last cells."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _told(cell: str | None) -> str:
    return "missing" if cell is None else repr(cell)


def _parts(rounds: list[_Round]) -> Iterator[list[_Round]]:
    """The session, cut where its prompt shrinks."""
    part = [rounds[0]]
    for one in rounds[1:]:
        if one.prompt < part[-1].prompt:
            yield part
            part = []
        part.append(one)
    yield part


def _trace(rounds: list[_Round], shared_tokens: int | None) -> AgentTrace:
    first = rounds[0].prompt
    pairs = list(pairwise(rounds))
    return AgentTrace(
        shared_tokens=min(SHARED_TOKENS if shared_tokens is None else shared_tokens, first),
        prompt_tokens=first,
        outputs=tuple(one.output for one in rounds),
        observations=tuple(max(1, after.prompt - before.prompt - before.output) for before, after in pairs),
        tool_seconds=tuple(before.wait_s for before, _ in pairs),
    )
