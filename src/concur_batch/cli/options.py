"""Options that several commands have, with their help."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

_LONGEST = 60  # of what was typed, as it is told back


class OutputFormat(StrEnum):
    """Form of the results beside results.parquet."""

    parquet = "parquet"
    jsonl = "jsonl"
    openai = "openai"


def whole(about: str, *names: str, least: int | None = None, most: int | None = None) -> Any:
    """An option that is a whole number, within bounds where some are given. What is none is told in our words: typer passes on pydantic's."""
    return _numeric(int, "<int>", "a whole number", about, names, least, most)


def number(about: str, *names: str, least: float | None = None, most: float | None = None) -> Any:
    """The same for any finite number."""
    return _numeric(_finite, "<float>", "a finite number", about, names, least, most)


def seconds(about: str, *names: str, least: float) -> Any:
    """The same for a time to wait; `inf` is for ever."""
    return _numeric(float, "<float>", "a number", about, names, least, None)


def _numeric(
    read: Callable[[str], float],
    metavar: str,
    what: str,
    about: str,
    names: tuple[str, ...],
    least: float | None,
    most: float | None,
) -> Any:
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    bounds = "" if least is None else f"at least {least}" if most is None else f"{least} to {most}"
    wanted = f"{what} {'of' if most is None else 'from'} {bounds}" if bounds else what

    def parse(text: str) -> float:
        try:
            value = read(text)
        except ValueError:
            raise _refusal(wanted, text) from None
        if not low <= value <= high:
            raise _refusal(wanted, text)
        return value

    is_news = most is not None or least
    return typer.Option(*names, parser=parse, metavar=metavar, help=f"{about} {bounds.capitalize()}." if is_news else about)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _refusal(wanted: str, text: str) -> typer.BadParameter:
    shown = repr(text) if len(text) <= _LONGEST else f"{text[:_LONGEST]!r}…"
    return typer.BadParameter(f"should be {wanted}, not {shown}")


def _output_format(text: str) -> OutputFormat:
    try:
        return OutputFormat(text)
    except ValueError:
        raise _refusal("parquet, jsonl or openai", text) from None


def _each(urls: list[str] | None) -> list[str] | None:
    """One by one, also those that were given together; what is nothing beside others is left out, as in the variable."""
    return urls and [one for url in urls for one in [part.strip() for part in url.split(",") if part.strip()] or [""]]


_ENGINES = "Base URL of a server; repeatable, or several with commas."
Jobs = Annotated[
    list[str],
    typer.Argument(help="Job files: .jsonl (.gz, .zst), .parquet, globs, or - for standard input.", show_default=False),
]
RunDir = Annotated[Path, typer.Argument(help="A run directory, as made by `concur run`.", show_default=False)]
Engine = Annotated[
    list[str] | None,
    typer.Option("--engine", "-e", callback=_each, help=f"{_ENGINES} Default: sim, the embedded engine."),
]
EngineAgain = Annotated[list[str] | None, typer.Option("--engine", "-e", callback=_each, help=f"{_ENGINES} Default: as before.")]
Model = Annotated[str | None, typer.Option(help="Model name. Default: what the engine serves.")]
Agent = Annotated[str | None, typer.Option(help="react, replay (of a trace), module:callable or FILE.py:callable.")]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tools", help="FILE.py or module with tools, or builtin; repeatable."),
]
MaxSteps = Annotated[int | None, whole("Model calls per rollout.", "--max-steps", "--max-turns")]
_POLICIES = "forecast, aimd, fixed:N, requests:N, accounting, turnover or off."
ControllerName = Annotated[str | None, typer.Option("--controller", "-c", help=f"{_POLICIES} Default: forecast.")]
ControllerAgain = Annotated[str | None, typer.Option("--controller", "-c", help=f"{_POLICIES} Default: as before.")]
MaxAgents = Annotated[int | None, whole("Most live agents under every controller. Default: 1024.")]
MaxAgentsAgain = Annotated[int | None, whole("Most live agents under every controller. Default: as before.")]
Out = Annotated[str | None, typer.Option(help="Run directory. Default: a new one under runs/.")]
Limit = Annotated[int | None, whole("Only the first N tasks.")]
Filter = Annotated[str | None, typer.Option("--filter", help="Only tasks whose id matches this regular expression.")]
History = Annotated[str | None, typer.Option(help="Directory of an earlier run, which tells how long its tasks became.")]
Shuffle = Annotated[int | None, whole("Random task order from this seed.")]
N = Annotated[int | None, whole("Rollouts per task, where the row does not say.", "--n", "-n")]
Seed = Annotated[int | None, whole("Base seed; rollout k uses seed + k.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Refuse unknown columns.")]
Live = Annotated[bool | None, typer.Option("--live/--no-live", help="Dashboard, or plain lines.")]
_ALLOWED = "Failed rollouts allowed before exit code 1: 3 or 5%."
FailOnError = Annotated[str | None, typer.Option(help=f"{_ALLOWED} Default: 0.")]
FailOnErrorAgain = Annotated[str | None, typer.Option(help=f"{_ALLOWED} Default: as before.")]
Format = Annotated[
    OutputFormat | None,
    typer.Option(parser=_output_format, metavar="<parquet|jsonl|openai>", help="Also write results.jsonl in this form."),
]
OnExit = Annotated[
    str | None, typer.Option("--on-exit", metavar="COMMAND", help="Run this when the run has ended; it gets the summary as JSON.")
]
MetricsPort = Annotated[int | None, whole("Serve Prometheus metrics here while it lasts; 0 picks a port.")]
Otel = Annotated[bool | None, typer.Option("--otel/--no-otel", help="Send OpenTelemetry spans, as OTEL_* variables say.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file; see docs/configuration.md.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Any configuration key, as in --set controller.alpha=4.")]
