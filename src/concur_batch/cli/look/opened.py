"""`concur results --open`: one rollout to read, whether it has ended or not."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from concur_batch import records as r
from concur_batch.cli import directory
from concur_batch.errors import InputError
from concur_batch.journal.lock import holder_of
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import segments
from concur_batch.results.reading import render_parts
from concur_batch.results.rows import ResultRow
from concur_batch.results.summary import duration
from concur_batch.results.trajectory import Part, of_messages, of_records
from concur_batch.results.visible import one_line
from concur_batch.task import rollout_id

_MOST_NAMED = 20


def print_one(run_dir: Path, name: str) -> int:
    """`name`: `task#k`, or a task's id where it has one rollout. Returns the exit code; raises InputError for another."""
    console = Console(highlight=False)
    for text in _texts(run_dir, name):
        console.print(text, soft_wrap=True)
    return 0


def _texts(run_dir: Path, name: str) -> Iterator[Text]:
    has_results = (run_dir / "results.parquet").exists()
    if segments(run_dir) and not (has_results and _is_empty(run_dir)):
        started, records = _from_journal(run_dir, name)
        yield from _head(records, started)
        yield from render_parts(of_records(records))
        if not isinstance(records[-1], r.RolloutFinished):
            word = "is still at work" if holder_of(run_dir) is not None else _broken_off(run_dir, records[-1])
            yield from render_parts([Part(heading=f"the rollout {word}", kind="note")])
        return
    if not has_results:
        directory.read(run_dir)  # raises where there is no run at all
        raise InputError(f"--open {one_line(name)}: no rollout has begun in {run_dir}; {directory.going_on(run_dir)}")
    row = _from_results(run_dir, name)
    yield _facts(
        rollout_id(row.id, row.rollout), row.status, f"{row.n_steps} step{'s' * (row.n_steps != 1)}", duration(row.times.wall_s)
    )
    end = [Part(heading="output", kind="note", content=row.output)] if row.output else []
    if row.error is not None:
        end = [Part(heading="failed", kind="failed", facts=f"error of class {row.error.error_class}", content=row.error.message)]
    yield from render_parts([*of_messages(row.messages), *end])


def _is_empty(run_dir: Path) -> bool:
    return next(JournalReader(run_dir).records(), None) is None


def _broken_off(run_dir: Path, last: r.Record) -> str:
    goes_on = isinstance(last, r.RolloutPaused) and not directory.is_simulation(run_dir)
    return "goes on here with concur resume" if goes_on else "was broken off here"


def _from_journal(run_dir: Path, name: str) -> tuple[float, list[r.Record]]:
    """Its date of start, and the records of its last attempt: in memory, as they are one rollout's."""
    epoch, dates, ids = 0.0, dict[str, float](), set[str]()
    found: dict[str, list[r.Record]] = {}
    for record in JournalReader(run_dir).records():
        if isinstance(record, r.SegmentStarted):
            epoch = record.epoch
        rollout: str | None = getattr(record, "rollout", None)
        if rollout is None:
            continue
        if name not in (rollout, rollout.rpartition("#")[0]):
            ids.add(rollout.rpartition("#")[0])
            continue
        if isinstance(record, r.RolloutStarted) and not (record.resumed and rollout in found):
            found[rollout] = []
            dates[rollout] = epoch + record.t
        found.setdefault(rollout, []).append(record)
    rollout = _only(run_dir, name, {one: _condition(records[-1]) for one, records in found.items()}, ids)
    return dates.get(rollout, epoch), found[rollout]


def _condition(last: r.Record) -> str:
    return last.status if isinstance(last, r.RolloutFinished) else "unfinished"


def _from_results(run_dir: Path, name: str) -> ResultRow:
    """Where nothing but the results is left of a run."""
    from concur_batch.results.parquet_collection import ParquetCollection  # noqa: PLC0415 - pyarrow, seldom needed here

    statuses, ids, rows = dict[str, str](), set[str](), dict[str, ResultRow]()
    for one in ParquetCollection(run_dir / "results.parquet"):
        if name in (one.head.rollout, one.head.id):
            statuses[one.head.rollout] = one.head.status
            rows[one.head.rollout] = one.row()
        else:
            ids.add(one.head.id)
    return rows[_only(run_dir, name, statuses, ids)]


def _only(run_dir: Path, name: str, found: dict[str, str], others: set[str]) -> str:
    """The one that is meant. `found`: rollouts of that name with their status; `others`: ids of all other tasks."""
    if name in found:
        return name
    if len(found) == 1:
        return next(iter(found))
    if found:
        named = [f"{one_line(rollout)} ({status})" for rollout, status in sorted(found.items())]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise InputError(
            f"--open {one_line(name)}: the task has {len(found)} rollouts; name one of {', '.join(named[:_MOST_NAMED])}{more}"
        )
    task, mark, k = name.rpartition("#")
    close = [task] if mark and k.isdecimal() and task in others else difflib.get_close_matches(name, sorted(others), n=1)
    hint = f"did you mean {one_line(close[0])}?" if close else f"see them by: concur results {shlex.quote(str(run_dir))}"
    raise InputError(f"--open {one_line(name)}: no rollout of that name has begun; {hint}")


def _head(records: list[r.Record], started: float) -> Iterator[Text]:
    starts = [record for record in records if isinstance(record, r.RolloutStarted)]
    last = records[-1]
    replies = [record for record in records if isinstance(record, r.ReplyReceived)]
    steps = last.n_steps if isinstance(last, r.RolloutFinished) else len(replies)  # some may have been made again
    facts = [_condition(last), f"{steps} step{'s' * (steps != 1)}"]
    if replies:
        tokens = replies[-1].prompt_tokens + replies[-1].completion_tokens
        facts.append(f"{tokens:,} tokens" if tokens else "? tokens")
    if isinstance(last, r.RolloutFinished):
        facts.append(duration(last.wall_s))
    yield _facts(getattr(last, "rollout", ""), *facts)
    if starts:
        first, here = starts[0], starts[-1]  # the later ones say on which engine it went on
        date = datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds")
        attempt = f", attempt {first.attempt}" if first.attempt > 1 else ""
        yield Text(
            one_line(f"{first.agent} on {here.model or '?'} at {here.engine}, seed {first.seed}, {date}{attempt}"), style="dim"
        )


def _facts(rollout: str, *facts: str) -> Text:
    return Text.assemble((one_line(rollout), "bold"), f"  {', '.join(facts)}")
