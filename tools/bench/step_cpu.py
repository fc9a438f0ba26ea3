"""CPU of the whole program per step, against a bare loop that makes the same calls and does nothing else.

Both run pinned to core 0, the echo server on core 1, 256 agents in flight. The program has its journal on and one no-op async tool
call per reply. CPU is user + system time of the whole process, start-up, reading the job and writing the results included. `marginal` takes the
same run with few tasks off both, so that start-up drops out. Cases: (a) 9-call conversations with small messages,
(b) histories of 32 messages of 2 kB each, 3 calls on top. Runs alternate; figures are medians, spreads are least to most.

The bare loop is measured in three forms. `typed`: `client.post(..., cast_to=ChatCompletion)`, what a user of the SDK writes; `raw`:
`cast_to=bytes` and `json.loads`, the cheapest the SDK has; `aiohttp`: the same calls without the SDK, to show how much is the SDK's.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import processes
import program

import report


class Case(NamedTuple):
    """One kind of conversation. The baseline run has `few` tasks."""

    name: str
    calls: int
    tasks: int
    few: int
    messages: int
    message_bytes: int


class Run(NamedTuple):
    """CPU seconds and steps of one run with many tasks, and of one with few."""

    cpu: float
    steps: int
    cpu_few: float
    steps_few: int
    wall: float
    uvloop: bool
    in_flight: int  # the most calls at the server at once

    @property
    def total_ms(self) -> float:
        """CPU milliseconds per step, start-up included."""
        return 1000 * self.cpu / self.steps

    @property
    def marginal_ms(self) -> float:
        """CPU milliseconds of one more step."""
        return 1000 * (self.cpu - self.cpu_few) / (self.steps - self.steps_few)


class Bench:
    """One case against one echo server, in one scratch folder."""

    def __init__(self, case: Case, url: str, scratch: Path, options: argparse.Namespace) -> None:
        self.case = case
        self.url = url
        self.scratch = scratch
        self.concurrency: int = options.agents
        self.timeout: float = options.timeout
        self.loop = "uvloop"
        self.log = scratch / f"{case.name}.log"
        self.many = scratch / f"{case.name}-many.jsonl"
        self.few = scratch / f"{case.name}-few.jsonl"
        for path, tasks in ((self.many, case.tasks), (self.few, case.few)):
            program.write_job(path, tasks=tasks, messages=case.messages, message_bytes=case.message_bytes)

    def pair(self, kind: str) -> Run:
        """Few tasks, then many. `kind`: program, typed, raw or aiohttp."""
        few, steps_few, _ = self.once(kind, self.few, self.case.few)
        many, steps, peak = self.once(kind, self.many, self.case.tasks)
        return Run(many.cpu_seconds, steps, few.cpu_seconds, steps_few, many.wall_seconds, many.uvloop, peak)

    def once(self, kind: str, job: Path, tasks: int) -> tuple[processes.Usage, int, int]:
        """One run; the steps counted by the echo server, which must be those asked for, and its peak of calls at once."""
        out = self.scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        if kind == "program":
            argv = program.run_argv(job, self.url, out, max_agents=self.concurrency)
        else:
            argv = [sys.executable, str(processes.BENCH / "bare_loop.py"), str(job), "--engine", self.url]
            argv += ["--concurrency", str(self.concurrency), "--cast", kind, "--loop", self.loop]
        before = processes.counts(self.url)["total"]
        usage = processes.measured(argv, core=0, log=self.log, timeout=self.timeout)
        counted = processes.counts(self.url)
        steps = counted["total"] - before
        wanted = tasks * self.case.calls
        reported = program.steps_done(out, tasks) if kind == "program" and usage.exit_code == 0 else steps
        if usage.exit_code or steps != wanted or reported != wanted:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise SystemExit(
                f"{kind}: exit code {usage.exit_code}, {steps} calls at the server, {reported} steps, {wanted} wanted\n{tail}"
            )
        return usage, steps, counted["peak_in_flight"]


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def compare(runs: dict[str, list[Run]], kind: str, figure: str) -> dict[str, float]:
    """The ratio of medians program / `kind`, and the least and most of the pairs measured one after the other."""
    ours = [getattr(run, figure) for run in runs["program"]]
    bare = [getattr(run, figure) for run in runs[kind]]
    pairs = [mine / its for mine, its in zip(ours, bare, strict=True)]
    ratio = statistics.median(ours) / statistics.median(bare)
    return {"ratio": round(ratio, 3), "least": round(min(pairs), 3), "most": round(max(pairs), 3)}


def measure(case: Case, options: argparse.Namespace, scratch: Path) -> dict[str, list[Run]]:
    """`--repeats` runs of each kind, taking turns."""
    kinds = ["typed", "raw", "aiohttp"] if options.bare_only else ["program", "typed", "raw", "aiohttp"]
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    with processes.echo_server(calls=case.calls, latency=options.latency) as url:
        bench = Bench(case, url, scratch, options)
        for _ in range(options.repeats):
            for kind in kinds:
                runs[kind].append(bench.pair(kind))
                if kind == "program":  # the bare loop gets the event loop that the program has
                    bench.loop = "uvloop" if runs[kind][-1].uvloop else "asyncio"
    print(f"case {case.name}: {case.tasks} tasks of {case.calls} calls, event loop {bench.loop}")
    return runs


def main() -> None:
    """Measure, print, and fail where the ratio to the typed bare loop is above --at-most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["a", "b", "both"], default="both")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--agents", type=int, default=256, help="in flight")
    parser.add_argument("--tasks-a", type=int, default=1024)
    parser.add_argument("--tasks-b", type=int, default=1024)
    parser.add_argument(
        "--latency", type=float, default=0.5, help="mean seconds before each reply; long enough that all agents are in flight"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds for any one run")
    parser.add_argument("--at-most", type=float, help="fail above this ratio of total CPU to the typed bare loop")
    parser.add_argument("--bare-only", action="store_true", help="the bare loop alone")
    options = parser.parse_args()
    cases = [
        Case("a", 9, options.tasks_a, 32, 1, 200),
        Case("b", 3, options.tasks_b, 32, 32, 2000),
    ]
    rows: list[list[object]] = []
    figures: dict[str, object] = {"agents": options.agents, "repeats": options.repeats, "latency": options.latency}
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="step-cpu-") as scratch:
        for case in cases:
            if options.case not in (case.name, "both"):
                continue
            runs = measure(case, options, Path(scratch))
            for kind, all_runs in runs.items():
                totals, marginals = ([getattr(run, f) for run in all_runs] for f in ("total_ms", "marginal_ms"))
                speed = statistics.median(run.steps / run.wall for run in all_runs)
                row: list[object] = [
                    case.name,
                    kind,
                    spread(totals),
                    spread(marginals),
                    f"{speed:.0f}",
                    min(run.in_flight for run in all_runs),
                ]
                if kind != "program" and "program" in runs:
                    by_total, by_marginal = (compare(runs, kind, f) for f in ("total_ms", "marginal_ms"))
                    row += [f"{x['ratio']:.2f} ({x['least']:.2f}-{x['most']:.2f})" for x in (by_total, by_marginal)]
                    figures[f"{case.name}_ratio_{kind}"] = by_total
                    figures[f"{case.name}_marginal_ratio_{kind}"] = by_marginal
                    worst = max(worst, by_total["ratio"]) if kind == "typed" else worst
                rows.append([*row, *["-"] * (8 - len(row))])
                figures[f"{case.name}_{kind}_ms"] = round(statistics.median(totals), 4)
                figures[f"{case.name}_{kind}_marginal_ms"] = round(statistics.median(marginals), 4)
    heading = [
        "case",
        "what",
        "CPU ms/step",
        "marginal ms/step",
        "steps/s",
        "peak at server",
        "program / this",
        "marginal / this",
    ]
    report.show("step_cpu", heading, rows, figures)
    if options.at_most and worst > options.at_most:
        raise SystemExit(f"the program takes {worst:.2f} times the CPU of the bare loop, where {options.at_most} is allowed")


if __name__ == "__main__":
    main()
