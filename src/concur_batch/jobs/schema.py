"""One row of a job file to one `Task`, or to the list of what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from concur_batch.errors import InputError
from concur_batch.jobs.faults import Fault
from concur_batch.jobs.hints import Hints
from concur_batch.jobs.openai_batch import body_fields, from_batch_line, in_body, is_batch_line, unpacked
from concur_batch.jobs.own_schema import (
    RESERVED,
    AgentSchema,
    OwnSchemas,
    aside,
    known_columns,
    own_problems,
    own_row,
    usual_schema,
)
from concur_batch.jobs.row import COLUMNS, ID_ALIASES, Row, as_id, check_row, problems
from concur_batch.jobs.to_task import AbsentId, to_task
from concur_batch.jobs.tool_names import function_name, tool_problems
from concur_batch.task import NOT_SAMPLING, UNASKED, Task

NO_SCRIPT = "has no `script`; the embedded engine only replays scripts: give --engine URL"
_CONVERSATION = {"prompt", "messages", "system"}
_SAMPLING = {"temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "response_format"}
_LIMITS = {"max_steps", "max_turns", "max_output_tokens", "max_total_tokens", "timeout_s", "context_length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """What rows are checked against."""

    known_tools: frozenset[str] = frozenset()  # besides `finish`
    agent_schema: AgentSchema = usual_schema
    require_script: bool = False  # an engine can only replay
    sim_named: bool = False  # and was asked for by name
    strict: bool = False  # unknown columns are faults
    hints: Hints = field(default_factory=Hints)  # what is known of tasks besides


class RowSchema:
    """Checks rows and makes tasks of them."""

    def __init__(self, options: SchemaOptions) -> None:
        self._options = options
        self._own_schemas = OwnSchemas(options.agent_schema)
        self._unknown: dict[str, str] = {}  # column -> what is said of it, where it was first met
        self.named_tools: set[str] = set()  # by any row so far
        self.unnamed_tools = False  # whether a row so far names none, and so gets those that are offered

    @property
    def own_by_default(self) -> bool:
        """Whether rows that name no agent follow a schema of the run's default agent."""
        return isinstance(self._own_schemas.of(None), type)

    def task(self, row: dict[str, Any], index: int, where: str, absent_id: AbsentId) -> Task | list[Fault]:
        """The task of this row, or all that is wrong with it. Nothing is kept but the names of unknown columns."""
        faults: list[tuple[str, str]] = []
        body: frozenset[str] = frozenset()
        batch = is_batch_line(row)
        if batch:
            row = unpacked(row)
            body = body_fields(row)
            row, faults = from_batch_line(row)
        known, others = _split(row)
        own_schema = self._own_schemas.of(row.get("agent"))
        own: dict[str, Any] = {}
        if isinstance(own_schema, InputError):
            faults.append(("agent", str(own_schema)))
        elif own_schema is not None:
            own = own_row(row, own_schema)
            others = aside({key: known.pop(key) for key in list(known) if key not in RESERVED} | others, own, own_schema)
            faults.extend(own_problems(own, own_schema))
        wrong: set[str] = set()
        try:
            checked: Row = check_row(known)
        except ValidationError as error:
            faults.extend(problems(error))
            wrong = {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
            checked = check_row({key: value for key, value in known.items() if key not in wrong})  # to go on with what is right
        faults.extend(self._tool_faults(checked, wrong))
        faults.extend(_sampling_faults(checked, known))
        names = known_columns(None if isinstance(own_schema, InputError) else own_schema)
        metadata_wins = isinstance(own_schema, type)
        faults.extend(self._column_faults(others, checked.metadata or {}, names, where, metadata_wins=metadata_wins))
        if own_schema is None and (body or not batch) and wrong.isdisjoint(_CONVERSATION):  # no readable body: that has been told
            faults.extend(_conversation_faults(checked, others, batch=batch))
        if not faults:
            return to_task(checked, own, others, self._options.hints, index=index, where=where, absent_id=absent_id)
        return [Fault(where, in_body(field, body), text) for field, text in faults]

    def warnings(self) -> list[str]:
        """One sentence for each unknown column met so far."""
        return list(self._unknown.values())

    def _tool_faults(self, row: Row, wrong: Collection[str]) -> Iterator[tuple[str, str]]:
        """And of script. `wrong`: the columns that `row` lacks, since they have been told."""
        if row.tools is None:
            self.unnamed_tools = True
        else:
            self.named_tools.update(tool if type(tool) is str else function_name(tool) or "" for tool in row.tools)
        if row.tools:
            for position, text in tool_problems(row.tools, self._options.known_tools):
                yield f"tools.{position}", text
        if self._options.require_script and row.script is None and "script" not in wrong:
            yield "", NO_SCRIPT if not self._options.sim_named else f"{NO_SCRIPT}, and no sim beside it"

    def _column_faults(
        self, others: dict[str, Any], metadata: dict[str, Any], names: Collection[str], where: str, *, metadata_wins: bool
    ) -> Iterator[tuple[str, str]]:
        """`names`: of the columns that a row of this kind may have; `metadata_wins`: a key of it stands for the column's value."""
        for column in others:
            if column in metadata and not metadata_wins:
                yield column, "is a column and also a key of metadata; rename one of the two"
            elif column in ID_ALIASES:
                continue
            elif self._options.strict:
                yield column, f"is not known; {_hint(column, names)}"
            elif column not in self._unknown:
                kept = "left aside for that key of metadata" if column in metadata else "kept in metadata"
                self._unknown[column] = f"{where}: {column}: unknown column, {kept}; {_hint(column, names)}"


def id_of(row: dict[str, Any]) -> str | None:
    """The id that a row brings, whatever else is wrong with it; None: none that can be one."""
    try:
        return as_id(_split(row)[0].get("id")) or None
    except ValueError:
        return None


def _split(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our columns (the id under its one name), and all others. A null stands for an absent column."""
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in row.items():
        if value is not None:
            (known if key in COLUMNS else others)[key] = value
    if "id" not in known:
        alias = next((alias for alias in ID_ALIASES if alias in others), None)
        if alias is not None:
            known["id"] = others.pop(alias)
    return known, others


def _sampling_faults(row: Row, given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The same for `sampling` and for each `extra_body`, as these are merged into it. `given`: what `row` lacks since something in it is wrong."""
    sampling = given.get("sampling") if row.sampling is None else row.sampling
    extra_body = given.get("extra_body") if row.extra_body is None else row.extra_body
    inner = sampling.get("extra_body") if isinstance(sampling, dict) else None
    for place, fields in (("sampling", sampling), ("sampling.extra_body", inner), ("extra_body", extra_body)):
        if not isinstance(fields, dict):
            continue
        for key, value in fields.items():
            if key in NOT_SAMPLING and (place == "sampling" or value not in UNASKED.get(key, ())):
                yield f"{place}.{key}", f"does not belong here; {NOT_SAMPLING[key]}"
        if row.seed is not None and fields.get("seed") is not None:
            yield f"{place}.seed", "stands beside the column seed; give one of the two"


def _conversation_faults(row: Row, others: dict[str, Any], *, batch: bool) -> Iterator[tuple[str, str]]:
    if batch and row.prompt is None and row.messages is None:
        yield "body.messages", "is missing; should be given"
        return
    if row.prompt is not None and row.messages is not None:
        yield "prompt", "stands beside messages; give exactly one of the two"
    if row.prompt is None and row.messages is None:
        if isinstance(others.get("body"), dict):
            yield "custom_id", "is missing; a line of an OpenAI batch file needs one beside its body"
            return
        if "input_prompt_length" in others:
            yield (
                "prompt",
                "is missing; a recorded trace like this is run with --agent replay, or simulated with `concur simulate`",
            )
            return
        near = next((f' (is "{key}" meant?)' for key in others if difflib.get_close_matches(key, ("prompt", "messages"))), "")
        yield "prompt", f"is missing{near}; give prompt (text) or messages (a list)"
    if row.system is not None and row.messages and row.messages[0]["role"] in {"system", "developer"}:
        yield "system", "stands beside messages that begin with a system message; give one of the two"


def _hint(column: str, names: Collection[str]) -> str:
    if column in _SAMPLING:
        return f'to sample with it, write "sampling": {{"{column}": ...}}'
    if column in _LIMITS:
        return f'to limit by it, write "limits": {{"{column}": ...}}'
    near = difflib.get_close_matches(column, names, 1)
    return f"did you mean {near[0]}?" if near else "what is to be passed through belongs in metadata"
