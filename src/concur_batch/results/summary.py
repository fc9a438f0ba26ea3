"""What a run came to, as numbers (`summary.json`) and as the throughput summary that `run` ends with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from concur_batch.results.labelled import labelled
from concur_batch.results.visible import one_line, shortened
from concur_batch.state import EngineView, RunState, Totals

_PARTS = ("model_s", "tool_s", "paused_s", "wait_s", "retry_s")
MESSAGE = 290  # characters of one, at most, fewer than a state keeps; of ours it is all, as it ends in what to do
_PART_NAMES = {"model_s": "model", "tool_s": "tools", "paused_s": "paused", "wait_s": "waiting", "retry_s": "failed attempts"}


def summarise(state: RunState, *, failures: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The run's numbers in plain types, ready for JSON; what is not known is None. Keys: `docs/results.md`.

    Speeds are means over the seconds of work of all segments.

    Args:
        state: the fold of the run's records.
        failures: rollouts by error class, as counted over last attempts; None: as the state counts them, which counts
            attempts that were later tried again too.
    """
    totals, elapsed = state.totals, state.elapsed
    ended = len(state.ended)
    classes = dict(sorted((state.error_classes if failures is None else failures).items()))
    return {
        "ended": state.finished,  # how the last segment ended; None: it is running, was killed, or could write no more
        "segments": state.segments,
        "started_at": iso(state.first_epoch) if state.first_epoch is not None else None,
        "finished_at": iso(state.epoch + state.time) if state.segments else None,
        "elapsed_s": elapsed,
        "tasks": state.tasks,
        "rollouts": {
            "total": state.rollouts,
            "ended": ended,
            "begun": len(state.live),
            "never_started": state.unstarted,
        },
        "statuses": {status: n for status, n in sorted(state.statuses.items()) if n},
        "failures": classes,
        "failure": _failure(state, classes),
        "steps": totals.steps,
        "tool_calls": totals.tool_calls,
        "tool_errors": totals.tool_errors,
        "retries": totals.retries,
        "tokens": {
            "prompt": totals.prompt_tokens,
            "generated": totals.completion_tokens,
            "cached": totals.cached_tokens if totals.cache_reported_tokens else None,
            "cached_share": totals.hit_rate,
            "history": totals.history_tokens or None,
            "recomputed": totals.missed_tokens if totals.history_tokens else None,
            "recomputed_share": totals.miss_rate,
        },
        "per_second": {
            # A task counts in parts, as its rollouts end.
            "tasks": rate(state.tasks * ended / state.rollouts if state.rollouts else 0.0, elapsed),
            "rollouts": rate(ended, elapsed),
            "steps": rate(totals.steps, elapsed),
            "prompt_tokens": rate(totals.prompt_tokens, elapsed),
            "generated_tokens": rate(totals.completion_tokens, elapsed),
        },
        "time": _time(totals),
        "engines": {name: engine_summary(view) for name, view in state.all_engines.items()},
    }


def rate(amount: float, seconds: float) -> float | None:
    """Amount per second; None where no time has passed."""
    return amount / seconds if seconds > 0 else None


def iso(epoch: float) -> str:
    """Seconds since 1970 as an ISO date in UTC."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")


def _failure(state: RunState, classes: Mapping[str, int]) -> dict[str, str] | None:
    """One failed rollout and why: of the class that most failed with, the message that came most often of its newest. None: of those that are kept
    none is of a rollout that failed and was not tried again.
    """
    name = max(classes, key=classes.__getitem__, default="")
    group = state.faults.groups.get(("rollout", name)) if classes.get(name) else None
    examples = [] if group is None else [one for one in group.examples.values() if state.failed_with(one.rollout) == name]
    if not examples:  # those that are kept have been tried again since
        return None
    example = max(reversed(examples), key=lambda one: one.count)
    return {"rollout": example.rollout, "class": name, "message": example.message}


def _time(totals: Totals) -> dict[str, dict[str, float | None]]:
    """Seconds of all agents by part, and the shares of their sum."""
    seconds = {part: float(getattr(totals, part)) for part in _PARTS}
    whole = sum(seconds.values())
    return {"seconds": {**seconds}, "share": {part: rate(value, whole) for part, value in seconds.items()}}


def engine_summary(view: EngineView) -> dict[str, Any]:
    """One engine and the path that its window took. A window of None: no limit on agents."""
    seen, decision, moved = view.seen, view.decision, view.moved
    return {
        "kind": seen.engine_kind if seen else None,
        "model": (seen.model or None) if seen else None,
        "version": seen.version if seen else None,
        "capacity_tokens": seen.capacity_tokens if seen else None,
        "policy": (seen.policy or None) if seen else None,
        "note": seen.note if seen else None,
        "lost": view.lost.message if view.lost else None,
        "window": {
            **(view.window._asdict() if view.window else dict.fromkeys(("first", "low", "high"))),
            "last": decision.agents if decision else None,
            "reason": decision.reason if decision else None,  # of the last decision
            "moved_by": moved.reason if moved else None,  # of the last one that changed the limit
        },
        "tokens": None
        if view.tokens is None
        else {**view.tokens._asdict(), "last": decision.tokens if decision else None},  # last None: no limit now
        "requests": decision.requests if decision else None,  # model calls in flight at most
    }


def render(
    summary: Mapping[str, Any],
    run_dir: Path,
    *,
    has_results: bool = True,
    lines_too: bool = False,
    tracebacks: Path | None = None,
) -> Table:
    """The throughput summary, for `run` to end with; 60 columns are enough.

    Args:
        summary: what `summarise` gave.
        run_dir: where the run's files are.
        has_results: they have been written.
        lines_too: `results.jsonl` was asked for, and written.
        tracebacks: the log that holds those of agents that failed.
    """
    name = "results.jsonl (and results.parquet)" if lines_too else "results.parquet"
    where = str(run_dir / name) if has_results else "no results.parquet; all this is from the journal"
    results = Text(where, overflow="fold", style="" if has_results else "dim")
    return labelled([*_lines(summary, run_dir if has_results else None, tracebacks), ("results", results)])


def _lines(summary: Mapping[str, Any], results_in: Path | None, tracebacks: Path | None) -> Iterator[tuple[str, Text]]:
    rollouts, tokens, speed = summary["rollouts"], summary["tokens"], summary["per_second"]
    yield "rollouts", Text(f"{rollouts['ended']:,} of {rollouts['total']:,} ended: {counts(summary['statuses']) or 'none'}")
    if summary["failures"]:
        where = [f"see {results_in / 'failures.jsonl'}"] if results_in is not None else []
        where += [f"tracebacks in {tracebacks}"] if tracebacks is not None else []
        places = f" ({', '.join(where)})" if where else ""
        yield "failures", Text(f"{counts(summary['failures'])}{places}", style="red", overflow="fold")
    if failure := summary["failure"]:
        who = f"{one_line(failure['rollout'])}: {failure['class']}"
        yield "error", Text(f"{who}: {shortened(failure['message'], MESSAGE)}", style="red", overflow="fold")
    segments = f", in {summary['segments']} segments" if summary["segments"] > 1 else ""
    yield "time", Text(f"{duration(summary['elapsed_s'])}{segments}")
    yield "speed", Text(f"{number(speed['tasks'])} tasks/s, {number(speed['steps'])} steps/s")
    yield "generated", Text(f"{_tokens(tokens['generated'])}, {number(speed['generated_tokens'])}/s")
    is_told = tokens["cached_share"] is not None
    cached = f", {percent(tokens['cached_share'])} cached" if is_told else ", cached share not told" * bool(summary["steps"])
    yield "prompt", Text(f"{_tokens(tokens['prompt'])}, {number(speed['prompt_tokens'])}/s{cached}")
    if tokens["recomputed"] is None:
        nothing = is_told or not summary["steps"]
        yield "recomputed", Text("nothing: no history was sent again" if nothing else "not told by the engine")
    else:
        yield "recomputed", Text(f"{_tokens(tokens['recomputed'])}, {percent(tokens['recomputed_share'])} of the history")
    shares = summary["time"]["share"]
    parts = [f"{_PART_NAMES[part]} {percent(share)}" for part, share in shares.items() if share]
    yield "agent time", Text(", ".join(parts) or "none")
    if summary["tool_calls"]:
        failed = f", {summary['tool_errors']:,} of them failed" if summary["tool_errors"] else ""
        yield "tool calls", Text(f"{summary['tool_calls']:,}{failed}")
    for name, engine in summary["engines"].items():
        yield limit_label(engine), Text(f"{limit_path(engine)}, {engine['policy'] or 'no policy'} on {name}", overflow="fold")


def limit_label(engine: Mapping[str, Any]) -> str:
    """Of the line with its `limit_path`: the limit on agents is the window."""
    return "window" if engine["tokens"] is None and engine["requests"] is None else "limit"


def limit_path(engine: Mapping[str, Any]) -> str:
    """Where an engine's limit went: on model calls, on agents, or on tokens where a policy weighs them; from its `engine_summary`.

    Where there is no limit on tokens now, the one on agents holds.
    """
    tokens, calls = engine["tokens"], engine["requests"]
    if calls is not None:
        return f"{calls:,} model call{'s' * (calls != 1)} at once ({engine['window']['reason']})"
    if tokens is None:
        return window_path(engine["window"])
    agents = engine["window"]["last"]
    without = "no limit" if agents is None else f"{agents:,} agents"
    last = without if tokens["last"] is None else _tokens(tokens["last"])
    if tokens["first"] == tokens["low"] == tokens["high"] == tokens["last"]:
        return f"{last} ({engine['window']['reason']})"
    span = f"{tokens['low']:,}..{tokens['high']:,}"
    unit = " tokens" if tokens["last"] is None else ""  # else it stands at the end
    return f"{tokens['first']:,}{unit} → {span}{unit} → {last} ({engine['window']['reason']})"


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"


def window_path(window: Mapping[str, Any]) -> str:
    """First → low..high → last, and why it is there now; one number where it never moved."""
    if window["reason"] is None:
        return "never decided"
    if window["first"] is None:
        return f"no limit ({window['reason']})"
    last = "no limit" if window["last"] is None else f"{window['last']:,}"
    if window["first"] == window["low"] == window["high"] == window["last"]:
        return f"no limit but {last} agents (off)" if window["reason"] == "off" else f"{last} ({window['reason']})"
    return f"{window['first']:,} → {window['low']:,}..{window['high']:,} → {last} ({window['reason']})"


def counts(by_name: Mapping[str, int]) -> str:
    """`completed 190, error 4`: the largest first."""
    return ", ".join(f"{name} {n:,}" for name, n in sorted(by_name.items(), key=lambda item: -item[1]))


def number(value: float | None) -> str:
    """Three digits where it is small, whole and in groups where it is large."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share of 0..1; `?` where it is not known."""
    return "?" if share is None else f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """`12.3 s`, `4 min 05 s`, `3 h 07 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
