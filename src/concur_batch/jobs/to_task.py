"""A checked row to a `Task`, with its fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from concur_batch.jobs.fingerprint import fingerprint
from concur_batch.jobs.hints import Hints
from concur_batch.jobs.row import Row, TurnRow
from concur_batch.task import Limits, Message, ScriptedTurn, Task

AbsentId = Callable[[int, str], str]
"""(index of the row, fingerprint) to the id of a row that brings none."""

_NO_LIMITS = Limits()


def to_task(
    row: Row, own: dict[str, Any], others: dict[str, Any], hints: Hints, *, index: int, where: str, absent_id: AbsentId
) -> Task:
    """`own`: the row of an agent with a schema of its own; `others`: unknown columns, which go to metadata."""
    sampling, seed = _sampling(row)
    script = None if row.script is None else [_turn(turn) for turn in row.script]
    messages = _messages(row)
    content = {
        "messages": messages,
        "fields": own,
        "tools": row.tools,
        "agent": row.agent,
        "model": row.model,
        "sampling": sampling,
        "seed": seed,
        "script": script,
    }
    # absent parts are left out, so that a column added in a later version changes no older fingerprint
    digits = fingerprint({name: part for name, part in content.items() if part is not None and part != {}})
    task_id = absent_id(index, digits) if row.id is None else row.id
    return Task(
        id=task_id,
        index=index,
        source=where,
        messages=tuple(messages),
        fields=own,
        tools=None if row.tools is None else tuple(row.tools),
        agent=row.agent,
        model=row.model,
        sampling=sampling,
        limits=_NO_LIMITS if row.limits is None else Limits(**cast("dict[str, Any]", row.limits)),
        expected_tokens=hints.of(task_id, row.expected_tokens),
        n=row.n,
        seed=seed,
        target=row.target,
        metadata={**others, **(row.metadata or {})},
        script=None if script is None else tuple(ScriptedTurn(**turn) for turn in script),
        fingerprint=digits,
    )


def _messages(row: Row) -> list[Message]:
    messages: list[Message] = [] if row.system is None else [{"role": "system", "content": row.system}]
    if row.prompt is not None:
        messages.append({"role": "user", "content": row.prompt})
    messages.extend(cast("list[Message]", row.messages or ()))  # fresh dicts, made by the check
    return messages


def _sampling(row: Row) -> tuple[dict[str, Any], int | None]:
    """What goes into the request body, and the base seed, which differs per rollout and so is no part of it."""
    sampling: dict[str, Any] = dict(row.sampling or {})
    sampling.update(sampling.pop("extra_body", None) or {})
    sampling.update(row.extra_body or {})
    seed = sampling.pop("seed", None)
    return sampling, seed if row.seed is None else row.seed


def _turn(turn: TurnRow) -> dict[str, Any]:
    """The fields of a ScriptedTurn that this turn sets."""
    given = {"content": turn.content, "tokens": turn.tokens, "finish_reason": turn.finish_reason}
    fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if turn.tool_calls:
        fields["tool_calls"] = tuple({"name": call["name"], "arguments": call.get("arguments", {})} for call in turn.tool_calls)
    return fields
