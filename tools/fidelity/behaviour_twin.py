"""The simulated twin of a real run: what was sent, on the fitted engine; and once more at the speed the machine had in that run."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import behaviour_load

from concur_batch import records as r

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from program import command, journal
from served_run import options


class Twin(NamedTuple):
    """Figures as `concur simulate --json` tells them."""

    fitted: dict[str, Any]  # with the costs as fitted
    slowness: float  # of the machine in this run: seconds per prefilled token, real / simulated
    paced: dict[str, Any]  # with all costs times that


def twin(run_directory: Path, controller: str, profile: Path, scratch: Path) -> Twin:
    """Of this finished run. `scratch`: an empty folder."""
    scratch.mkdir(parents=True)
    trace = behaviour_load.write(behaviour_load.sent(run_directory), scratch / "sent.jsonl")
    fitted = simulate(trace, controller, profile, scratch / "fitted")
    slowness = seconds_per_token(run_directory) / seconds_per_token(scratch / "fitted")
    paced = simulate(trace, controller, scaled(profile, slowness, scratch / "paced.toml"), scratch / "paced")
    return Twin(fitted, slowness, paced)


def simulate(trace: Path, controller: str, profile: Path, out: Path) -> dict[str, Any]:
    """In virtual time, with the controller's own settings, as in the real runs."""
    argv = [command(), "simulate", str(trace), "--profile", str(profile), *options(controller), "--json"]
    argv += ["--set", "sampling.ignore_eos=true", "--out", str(out)]  # asks for lengths as the replay does
    figures: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return figures


def seconds_per_token(run_directory: Path) -> float:
    """Of prefill, by the sums in /v1/loads, over the whole run."""
    tokens, seconds = 0, 0.0
    for record in journal(run_directory):
        if isinstance(record, r.Sampled) and record.prefill_tokens and record.prefill_busy_seconds is not None:
            tokens += record.prefill_tokens
            seconds += record.prefill_busy_seconds
    return seconds / tokens


def scaled(profile: Path, factor: float, path: Path) -> Path:
    """The same profile with all costs times `factor`."""
    table = tomllib.loads(profile.read_text())
    cost = {name: value * factor for name, value in table.pop("cost").items()}
    lines = [*(f"{name} = {json.dumps(value)}" for name, value in table.items()), "[cost]"]
    path.write_text("\n".join([*lines, *(f"{name} = {value!r}" for name, value in cost.items())]) + "\n")
    return path
