"""Trace files: what recorded agents did, as counts. JSON lines, one agent per row, or TraceLab's CSV, one model call per row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from concur_batch.errors import InputError
from concur_batch.jobs.compressed import DamagedFile, open_unnamed
from concur_batch.jobs.faults import Fault, FaultList
from concur_batch.jobs.lines import read_lines
from concur_batch.jobs.trace_csv import COLUMNS, read_sessions
from concur_batch.sim.trace import WrongRow, trace_of
from concur_batch.sim.workload import AgentTrace


def read_traces(path: str, *, limit: int | None = None, shared_tokens: int | None = None) -> list[AgentTrace]:
    """All agents of a trace file in order, or the first `limit`; docs/workloads.md has the formats.

    A file whose name ends in `.csv` (`.csv.gz`, `.csv.zst`) is read as TraceLab's CSV, any other as JSON lines; whether it is
    compressed is seen from its first bytes.

    Args:
        path: the file.
        limit: so many agents; rows after them are not looked at.
        shared_tokens: of each first prompt, the same for all agents, in place of what the file says. Where neither says it:
            4,096. Never more than the first prompt.

    Raises InputError, with file, line and mend for each of the first rows that are wrong; also for a file that holds no agent.
    """
    if path == "-":
        raise InputError("-: a trace is not read from standard input; write it to a file and name that")
    faults = FaultList()
    try:
        with open_unnamed(Path(path)) as stream:
            read = _read_csv if _is_csv(path) else _read_jsonl
            traces = list(islice(_sound(read(stream, path, shared_tokens), faults), limit))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except DamagedFile as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions") from error
    faults.raise_if_any()
    if not traces:
        wanted = f"a header ({', '.join(COLUMNS)}) and a row per model call" if _is_csv(path) else "one agent per line"
        raise InputError(f"{path}: is empty; should hold {wanted}")
    return traces


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").removesuffix(".zst").endswith(".csv")


def _sound(found: Iterable[AgentTrace | Fault], faults: FaultList) -> Iterator[AgentTrace]:
    for item in found:
        if isinstance(item, Fault):
            faults.add(item)
        else:
            yield item


def _read_jsonl(stream: IO[bytes], name: str, shared_tokens: int | None) -> Iterator[AgentTrace | Fault]:
    for item in read_lines(stream, name):
        if isinstance(item, Fault):
            yield item
        else:
            if item.row.keys() & {"prompt", "messages", "body"} and "input_prompt_length" not in item.row:
                raise InputError(
                    f"{name}: is a job file, and simulations take recorded agents (docs/workloads.md); to run it on a server of yours use `concur run`, or `concur compare` with --engine URL"
                )
            try:
                yield trace_of(item.row, shared_tokens)
            except WrongRow as wrong:
                yield Fault(f"{name}:{item.line}", wrong.field, wrong.text)


def _read_csv(stream: IO[bytes], name: str, shared_tokens: int | None) -> Iterator[AgentTrace | Fault]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield from read_sessions(csv.DictReader(text), name, shared_tokens)
    except UnicodeDecodeError:
        yield Fault(name, "", "is not UTF-8 text; save the file as UTF-8")
    except csv.Error as error:
        yield Fault(name, "", f"is not sound CSV ({error}); export it again")
