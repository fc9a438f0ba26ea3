"""Options that several commands have, with their help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class OutputFormat(StrEnum):
    """Form of the results beside results.parquet."""

    parquet = "parquet"
    jsonl = "jsonl"
    openai = "openai"


def whole(about: str, *names: str) -> Any:
    """An option that is a whole number, whatever its size. What is none is told in our words: typer passes on pydantic's."""
    return typer.Option(*names, parser=_number, metavar="<int>", help=about)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"should be a whole number, not {text!r}") from None


Jobs = Annotated[
    list[str],
    typer.Argument(help="Job files: .jsonl (.gz, .zst), .parquet, globs, or - for standard input.", show_default=False),
]
RunDir = Annotated[Path, typer.Argument(help="A run directory, as made by `concur run`.", show_default=False)]
Engine = Annotated[
    list[str] | None,
    typer.Option("--engine", "-e", help="Base URL of a server; repeatable. Default: sim, the embedded engine."),
]
Model = Annotated[str | None, typer.Option(help="Model name. Default: what the engine serves.")]
Agent = Annotated[str | None, typer.Option(help="react, replay (of a trace), module:callable or FILE.py:callable.")]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tools", help="FILE.py or module with tools, or builtin; repeatable."),
]
MaxSteps = Annotated[int | None, whole("Model calls per rollout.", "--max-steps", "--max-turns")]
ControllerName = Annotated[
    str | None,
    typer.Option(
        "--controller", "-c", help="forecast, aimd, fixed:N, requests:N, accounting, turnover or off. Default: forecast."
    ),
]
MaxAgents = Annotated[int | None, whole("Most live agents under every controller. Default: 1024.")]
Out = Annotated[str | None, typer.Option(help="Run directory. Default: a new one under runs/.")]
Limit = Annotated[int | None, whole("Only the first N tasks.")]
Filter = Annotated[str | None, typer.Option("--filter", help="Only tasks whose id matches this regular expression.")]
History = Annotated[str | None, typer.Option(help="Directory of an earlier run, which tells how long its tasks became.")]
Shuffle = Annotated[int | None, whole("Random task order from this seed.")]
N = Annotated[int | None, whole("Rollouts per task, where the row does not say.", "--n", "-n")]
Seed = Annotated[int | None, whole("Base seed; rollout k uses seed + k.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Refuse unknown columns.")]
Live = Annotated[bool | None, typer.Option("--live/--no-live", help="Dashboard, or plain lines.")]
FailOnError = Annotated[str | None, typer.Option(help="Failed rollouts allowed before exit code 1: 3 or 5%. Default: 0.")]
Format = Annotated[OutputFormat | None, typer.Option(help="Also write results.jsonl in this form.")]
OnExit = Annotated[
    str | None, typer.Option("--on-exit", metavar="COMMAND", help="Run this when the run has ended; it gets the summary as JSON.")
]
MetricsPort = Annotated[int | None, whole("Serve Prometheus metrics here while it lasts; 0 picks a port.")]
Otel = Annotated[bool | None, typer.Option("--otel/--no-otel", help="Send OpenTelemetry spans, as OTEL_* variables say.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file; see docs/configuration.md.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Any configuration key, as in --set controller.alpha=4.")]
