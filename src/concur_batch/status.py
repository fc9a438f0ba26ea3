"""What `concur status` tells of a run, live or not: for people and, with `--json`, for programs. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table
from rich.text import Text

from concur_batch.errors import unnamed
from concur_batch.results.labelled import labelled
from concur_batch.results.summary import (
    MESSAGE,
    counts,
    duration,
    engine_summary,
    iso,
    limit_label,
    limit_path,
    number,
    percent,
    rate,
)
from concur_batch.results.visible import shortened
from concur_batch.state import EngineView, Retrying, RunState

LOST, EMPTY, STARTING, BROKE_OFF = "lost", "empty", "starting", "broke off"
MAX_ATTEMPTS = 3  # of a rollout, where the run does not say


class Holder(Protocol):
    """The process that holds the run directory's lock."""

    @property
    def host(self) -> str:
        """Its host name."""
        ...

    @property
    def pid(self) -> int:
        """Its process id there."""
        ...

    @property
    def alive(self) -> bool | None:
        """None: on another host, not to be seen from here."""
        ...

    @property
    def taken(self) -> float:
        """Since when it holds the lock, in seconds since 1970 by its own clock; 0: it does not tell."""
        ...


def condition(state: RunState, holder: Holder | None, *, has_results: bool = False) -> str:
    """The run in one word.

    `starting` while a process holds it that has written no record yet, then `running` or `draining`; `empty` before any
    record; `lost` where there is none any more, and results are; `broke off` where the last process ended without saying so;
    else how that one ended: `finished`, `drained`, `stopped`, `engine`, `failed`.
    """
    if holder is not None:
        newest = state.segment
        if newest is None or (newest.host, newest.pid) != (holder.host, holder.pid) or newest.epoch < holder.taken:
            return STARTING  # a container that is started again may have the same name and number
        return "draining" if state.draining else "running"
    if not state.has_begun:
        return LOST if has_results else EMPTY
    return state.finished or BROKE_OFF


def next_command(
    state: RunState, run_dir: Path, holder: Holder | None, *, max_attempts: int, results_written: bool = True
) -> str | None:
    """What to type to bring the run further; None: nothing is left to do, or a process is at it.

    `results_written`: they are of the whole journal. A failed rollout that has had `max_attempts` is done with.
    """
    resume = f"concur resume {shlex.quote(str(run_dir))}"
    if holder is not None:
        return None if holder.alive else f"{resume} --take-over"
    if state.finished != "finished" or state.live or state.unstarted or not results_written:
        return resume
    may_retry = any(attempt < max_attempts for attempt in state.failed_attempts.values())
    return f"{resume} --retry-failed" if may_retry else None


def status_dict(
    state: RunState,
    run_dir: Path,
    holder: Holder | None,
    *,
    resumable: bool = True,
    has_results: bool = False,
    results_written: bool = True,
    max_attempts: int = MAX_ATTEMPTS,
) -> dict[str, Any]:
    """The run's status in plain types, ready for JSON; what is not known is None. Keys: `docs/results.md`.

    `finished + failed + running + paused + waiting` is all rollouts. Without a process at work nobody runs: whoever had
    begun counts as paused. Speeds are those of the present segment. `results_written`: results.parquet is of the whole journal.
    """
    totals, seconds = state.segment_totals, state.time
    word = condition(state, holder, has_results=has_results)
    command = next_command(state, run_dir, holder, max_attempts=max_attempts, results_written=results_written)
    at_work = word in ("running", "draining")
    running = state.active if at_work else 0
    engines = (
        state.engines if state.finished is None else state.engines or state.all_engines
    )  # a segment that only ended the run has none
    return {
        "run": str(run_dir),
        "condition": word,
        "live": holder is not None,
        "holder": {"host": holder.host, "pid": holder.pid, "alive": holder.alive} if holder else None,
        "drain_cause": state.draining if word != STARTING else None,
        "held": at_work and state.by_hand.held,
        "limit_factor": state.by_hand.factor if at_work else 1.0,
        "next_command": command if resumable and word != LOST else None,
        "results_written": results_written,
        "tasks": state.tasks,
        "rollouts": state.rollouts,
        "finished": len(state.ended) - state.failed,  # ended with a result, limits reached among them
        "failed": state.failed,
        "running": running,
        "paused": len(state.live) - running,
        "waiting": state.unstarted,
        "statuses": {status: n for status, n in sorted(state.statuses.items()) if n},
        "segments": state.segments,
        "newest_record_at": iso(state.epoch + state.time) if state.segments else None,
        "elapsed_s": state.elapsed,
        "steps": state.totals.steps,
        "steps_per_s": rate(totals.steps, seconds),
        "generated_tokens_per_s": rate(totals.completion_tokens, seconds),
        "prompt_tokens_per_s": rate(totals.prompt_tokens, seconds),
        "hit_rate": state.totals.hit_rate,
        "miss_rate": state.totals.miss_rate,
        "lag_s": state.lag_s,
        "retries": state.totals.retries,
        "engines": {name: _engine(view, state.retrying(name) if at_work else None) for name, view in engines.items()},
        "newest_error": _error(state),
    }


def _engine(view: EngineView, retrying: Retrying | None) -> dict[str, Any]:
    sample = view.sample
    return engine_summary(view) | {
        "locked": sample.locked if sample else None,
        "resident": sample.resident if sample else None,
        "queued_requests": sample.queued_requests if sample else None,
        "retrying": None if retrying is None else retrying._asdict(),
    }


def _error(state: RunState) -> dict[str, Any] | None:
    """None also where that rollout was tried again since."""
    end = state.newest_error
    if end is None or end.error is None or state.ended.get(end.rollout) != "error":
        return None
    return {"rollout": end.rollout, "class": end.error.error_class, "message": end.error.message}


_WORDS = {
    STARTING: ("is starting", "yellow"),
    "running": ("is running", "green"),
    "draining": ("is draining to the next step boundaries", "yellow"),
    LOST: ("has lost its journal", "red"),
    EMPTY: ("has not begun", "yellow"),
    "finished": ("is finished", "green"),
    "drained": ("was drained and can go on", "yellow"),
    "stopped": ("was stopped and can go on", "yellow"),
    "engine": ("ended because its engine stayed away, and can go on", "red"),
    "failed": ("ended by a fault, and can go on", "red"),
    BROKE_OFF: ("broke off (its process was killed, or could write no more) and can go on", "red"),
}


def render_status(status: dict[str, Any], *, resumable: bool = True) -> Table:
    """For people, what `status_dict` has told; 60 columns are enough. `resumable` False: a simulation."""
    return labelled(_lines(status, resumable=resumable))


def _lines(status: dict[str, Any], *, resumable: bool) -> Iterator[tuple[str, Text]]:
    words, style = _WORDS.get(status["condition"], (f"ended ({status['condition']})", "yellow"))
    if not resumable:
        words = f"{words.removesuffix(' and can go on').removesuffix(',')}; it is a simulation"
    yield "run", Text.assemble(f"{status['run']} ", (words, style), overflow="fold")
    if status["condition"] == LOST:
        yield "results", Text(f"are left: concur results {shlex.quote(status['run'])}", overflow="fold")
        return
    if status["condition"] == EMPTY:
        yield "next", Text(status["next_command"] or "run `concur simulate` again", style="bold", overflow="fold")
        return
    if status["holder"]:
        yield "held by", Text(_held(status["holder"]))
    yield "rollouts", Text(f"{status['rollouts']:,}, of {status['tasks']:,} task{'' if status['tasks'] == 1 else 's'}")
    for key in ("finished", "failed", "running", "paused", "waiting"):
        yield f"  {key}", Text(_row(key, status), style="red" if key == "failed" and status[key] else "")
    if by_hand := _by_hand(status):
        yield "by hand", Text(by_hand, style="yellow")
    newest = f"newest record {status['newest_record_at'] or 'none'}" if resumable else "simulated"
    yield "time", Text(f"{duration(status['elapsed_s'])}, {newest}")
    speed = f"{number(status['steps_per_s'])} steps/s, {number(status['generated_tokens_per_s'])} generated tokens/s"
    yield "speed", Text(speed)
    yield "cache", Text(f"hit rate {percent(status['hit_rate'])}, miss rate {percent(status['miss_rate'])}")
    for name, engine in status["engines"].items():
        yield "engine", Text(_engine_line(name, engine), style="red" if engine["lost"] else "", overflow="fold")
        if again := engine["retrying"]:
            calls = f"{again['calls']:,} call{'s' * (again['calls'] != 1)}"
            yield "  retrying", Text(f"{calls}: {_short(again['message'])}", style="red", overflow="fold")
        yield f"  {limit_label(engine)}", Text(limit_path(engine))
    if error := status["newest_error"]:
        message = error["message"].removeprefix(f"{error['rollout']}: ")
        who = f"{_short(error['rollout'])}: {_short(error['class'])}"
        yield "error", Text(f"{who}: {shortened(message, MESSAGE)}", style="red", overflow="fold")
    if status["condition"] == "finished" and not status["results_written"]:
        yield "results", Text("are not written yet", style="yellow")
    if status["next_command"]:
        yield "next", Text(status["next_command"], style="bold", overflow="fold")


def _row(key: str, status: dict[str, Any]) -> str:
    """A count, and behind the finished ones what they came to."""
    results = {name: n for name, n in status["statuses"].items() if name != "error"}
    detail = f" ({counts(results)})" if key == "finished" and results else ""
    return f"{status[key]:,}{detail}"


def _by_hand(status: dict[str, Any]) -> str:
    """What a person at the dashboard's keys has in force."""
    held = ["admission held"] if status["held"] else []
    scaled = [f"limit times {status['limit_factor']:.4g}"] if status["limit_factor"] != 1.0 else []
    return ", ".join(held + scaled)


def _held(holder: dict[str, Any]) -> str:
    unseen = "" if holder["alive"] else ", which cannot be seen from here"
    return f"process {holder['pid']} on {holder['host']}{unseen}"


def _engine_line(name: str, engine: dict[str, Any]) -> str:
    if engine["lost"]:
        return f"{_short(name)}: away ({_short(unnamed(engine['lost'], name))})"
    shares = f"locked {percent(engine['locked'])}, resident {percent(engine['resident'])}"
    return f"{_short(name)}: {engine['policy'] or 'no policy yet'}, {shares}"


def _short(text: str) -> str:
    return shortened(text, 200)
