"""The paper's experiments (arXiv:2601.22705) in virtual time, beside what the paper reports: the tables of docs/replication.md.

    python tools/bench/replication.py --part requests|deepseek|speedup|search|thresholds|locked|readings|running [--forecast] [--keep FILE]

`--keep` appends the figures of each run to a file and takes from it what has been run, so that a call that was ended goes on, and
parts share runs: give another file, or none, after a change of the program. One process; the parts take 1 to 8 minutes of CPU.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from concur_batch import records as r
from concur_batch.results.sweep import Sweep
from report import show

POOLS = {2: 282_000, 4: 800_000, 8: 1_830_000}
PREFILL = {"output_median": 50, "observation_median": 850}
"""Short answers, large observations: the workload on which `aimd` is as much faster as in the paper."""
DEEPSEEK = {
    "shared_tokens": 500, "start_tokens": 2000, "least_steps": 8, "most_steps": 14, "observation_median": 700,
}  # fmt: skip
"""About 15,000 tokens at step 10, and four of five tokens of a prompt sent before, as in the paper's figures for DeepSeek-V3."""
READINGS: dict[str, dict[str, Any]] = {
    "ours: U locked, H over 15 s": {},
    "H over 1 s": {"h_window_s": 1},
    "H always low": {"h_thresh": 1},
    "U resident": {"u": "resident"},
    "U resident, H always low": {"u": "resident", "h_thresh": 1},
    "U committed": {"u": "committed"},
    "U committed, H always low": {"u": "committed", "h_thresh": 1},
    "a step of the law per 5 s": {"interval_s": 5},
    "a step of the law per 15 s": {"interval_s": 15},
    "first window 256": {"first": 256},
    "first window 256, H over 1 s": {"first": 256, "h_window_s": 1},
}
"""What the paper leaves open."""


class Case(NamedTuple):
    """Agents and the server they meet."""

    profile: str
    pool: int
    agents: int = 256
    workload: Mapping[str, Any] = {}
    running: int | None = None  # most requests that the server runs at once; None: SGLang's default, which never binds here


def qwen(tp: int, workload: Mapping[str, Any] | None = None, running: int | None = None) -> Case:
    """Qwen3-32B on so many H100."""
    return Case(f"qwen3-32b@h100x{tp}", POOLS[tp], workload=workload or {}, running=running)


Figures = dict[str, Any]
Rows = list[list[object]]


class Runs:
    """Simulated runs, each once."""

    def __init__(self, keep: Path | None, seed: int, *, forecast: bool) -> None:
        self._keep = keep
        self.seed = seed
        self.forecast = forecast  # wanted, too
        lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
        self._done: dict[str, Figures] = {line["run"]: line["figures"] for line in map(json.loads, lines)}

    def run(self, case: Case, controller: str, parameters: Mapping[str, Any] | None = None) -> Figures:
        """The figures of one run, those that `concur simulate --json` prints."""
        name = json.dumps([case, controller, parameters or {}, self.seed], sort_keys=True)
        if name not in self._done:
            self._done[name] = _simulated(case, controller, parameters or {}, self.seed)
            if self._keep is not None:
                with self._keep.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"run": name, "figures": self._done[name]}) + "\n")
        return self._done[name]

    def seconds(self, case: Case, controller: str, parameters: Mapping[str, Any] | None = None) -> float:
        """Its makespan."""
        return float(self.run(case, controller, parameters)["makespan_s"])

    def best_window(self, case: Case) -> tuple[str, Figures]:
        """As `concur compare` finds it for `fixed:auto`."""
        sweep = Sweep(case.agents)
        while windows := sweep.wanted():
            for window in windows:
                sweep.took(window, self.seconds(case, _fixed(window)))
        return _fixed(sweep.best), self.run(case, _fixed(sweep.best))


def _fixed(window: int | None) -> str:
    return "off" if window is None else f"fixed:{window}"


def _simulated(
    case: Case, controller: str, parameters: Mapping[str, Any], seed: int, *sinks: Callable[[r.Record], None]
) -> Figures:
    from concur_batch.cli.trial.simulate import configured  # noqa: PLC0415  heavy imports, not needed for --help
    from concur_batch.cli.trial.simulation import simulate  # noqa: PLC0415
    from concur_batch.config import resolve  # noqa: PLC0415
    from concur_batch.sim.tasks import tasks  # noqa: PLC0415
    from concur_batch.sim.workload import WorkloadParameters, generate  # noqa: PLC0415

    traces = generate(WorkloadParameters(agents=case.agents, **case.workload), seed)
    options = {"engine.urls": [f"sim:{case.profile}"], "sim.pool_tokens": case.pool, "controller.name": controller}
    sets = [f"controller.{key}={value}" for key, value in parameters.items()]
    if case.running is not None:
        sets.append(f"sim.max_running_requests={case.running}")
    config = configured(resolve({**options, "run.seed": seed, "run.max_agents": len(traces)}, sets, None, {}))
    return simulate(traces, list(tasks(traces)), config, *sinks, progress=lambda _: None).figures


# The parts ---------------------------------------------------------------------------------------------------------------


def requests(runs: Runs) -> tuple[Sequence[str], Rows]:
    """Caps on requests against a cap on agents, default workload, TP4."""
    case = qwen(4)
    off = runs.seconds(case, "off")
    caps = [f"requests:{n}" for n in (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)]
    found = [(name, runs.run(case, name)) for name in ("off", *caps, "aimd")] + [runs.best_window(case)]
    return ["controller", "makespan s", "x off", "hit rate", "miss rate"], [_row(name, run, off) for name, run in found]


def _row(name: str, run: Figures, off: float) -> list[object]:
    shares = (f"{run[key]:.1%}" for key in ("hit_rate", "miss_rate"))
    return [name, f"{run['makespan_s']:,.0f}", f"{off / run['makespan_s']:.2f}", *shares]


def deepseek(runs: Runs) -> tuple[Sequence[str], Rows]:
    """As many agents as the paper has on DeepSeek-V3: how many fit, then controllers for 40."""
    rows: Rows = []
    for agents in (16, 24, 32, 40):
        case = Case("deepseek-v3@h100x16", DEEPSEEK_POOL, agents, DEEPSEEK)
        off = runs.seconds(case, "off")
        rows.append([agents, *_row("off", runs.run(case, "off"), off)])
    rows += [[40, *_row(name, runs.run(case, name), off)] for name in [f"requests:{n}" for n in (8, 12, 16, 24, 32)]]
    rows += [[40, *_row("aimd", runs.run(case, "aimd"), off)], [40, *_row(*runs.best_window(case), off)]]
    return ["agents", "controller", "makespan s", "x off", "hit rate", "miss rate"], rows


DEEPSEEK_POOL = 349_223

STEPS: list[tuple[str, float]] = [
    *(("u_high", value) for value in (0.4, 0.6, 0.7, 0.8, 0.9)),
    *(("u_low", value) for value in (0.1, 0.3, 0.4)),
    *(("h_thresh", value) for value in (0.1, 0.3, 0.5, 0.7, 0.9)),
]
CASES = [(f"TP{tp}", qwen(tp)) for tp in POOLS] + [("TP8, short answers", qwen(8, PREFILL))]


def thresholds(runs: Runs) -> tuple[Sequence[str], Rows]:
    """One threshold at a time, then a small grid; makespans as multiples of those of the paper's constants."""
    base = [runs.seconds(case, "aimd") for _, case in CASES]
    rows: Rows = [["off", *(f"{runs.seconds(case, 'off') / one:.2f}" for (_, case), one in zip(CASES, base, strict=True))]]
    rows.append([".2 / .5 / .2, seconds", *(f"{one:,.0f}" for one in base)])
    grid = [{"u_low": low, "u_high": high, "h_thresh": hit} for low in (0.1, 0.3) for high in (0.4, 0.8) for hit in (0.2, 0.5)]
    for parameters in [*({name: value} for name, value in STEPS), *grid]:
        ratios = (runs.seconds(case, "aimd", parameters) / one for (_, case), one in zip(CASES, base, strict=True))
        rows.append([", ".join(f"{k} {v:g}" for k, v in parameters.items()), *(f"{ratio:.2f}" for ratio in ratios)])
    return ["parameters", *(name for name, _ in CASES)], rows


def readings(runs: Runs) -> tuple[Sequence[str], Rows]:
    """What the paper leaves open: each reading's makespan, and what the thresholds do under it."""
    swept = [*STEPS[:2], STEPS[3], *STEPS[5:7]]
    rows: Rows = []
    for name, case in (CASES[1], CASES[3]):
        off = runs.seconds(case, "off")
        for reading, parameters in READINGS.items():
            base = runs.seconds(case, "aimd", parameters)
            ratios = (runs.seconds(case, "aimd", {**parameters, key: value}) / base for key, value in swept)
            rows.append([name, reading, f"{base:,.0f}", f"{off / base:.2f}", *(f"{ratio:.2f}" for ratio in ratios)])
    return ["", "reading", "makespan s", "x off", *(f"{key} {value:g}" for key, value in swept)], rows


def locked(runs: Runs) -> tuple[Sequence[str], Rows]:
    """Without control: how long the hit rate is below .2, and U meanwhile. Then where `aimd` turns."""
    rows: Rows = []
    capped = [(f"TP8, short answers, {n} running at most", qwen(8, PREFILL, n)) for n in (64, 48)]
    for name, case in [*CASES, *capped]:
        samples: list[r.Sampled] = []
        path = [(0.0, 8, "")]
        _simulated(case, "off", {}, runs.seed, partial(_sampled, samples))
        _simulated(case, "aimd", {}, runs.seed, partial(_turned, path))
        low = sorted(_locked_while_low(samples))
        quantiles = [f"{low[len(low) * percent // 100]:.2f}" for percent in (1, 50, 99)]
        turns = " ".join(f"{window}@{at:.0f}" for at, window, _ in path[1:13])
        rows.append([name, f"{len(low) / len(samples):.0%}", *quantiles, turns])
    return ["", "H < .2", "U then, 1 %", "50 %", "99 %", "window of aimd @ second, at its first turns"], rows


def _sampled(to: list[r.Sampled], record: r.Record) -> None:
    if isinstance(record, r.Sampled):
        to.append(record)


def _locked_while_low(samples: Sequence[r.Sampled], over_s: float = 15.0) -> Iterator[float]:
    recent: deque[r.Sampled] = deque()
    for sample in samples:
        recent.append(sample)
        while recent[0].t <= sample.t - over_s:
            recent.popleft()
        prompt = sum(one.prompt_tokens for one in recent)
        if prompt and sample.locked is not None and sum(one.cached_tokens or 0 for one in recent) < 0.2 * prompt:
            yield sample.locked


def _turned(path: list[tuple[float, int, str]], record: r.Record) -> None:
    """Keep the end of each way up, and of each way down."""
    if isinstance(record, r.Decided) and record.agents is not None and record.agents != path[-1][1]:
        way = "up" if record.agents > path[-1][1] else "down"
        if way == path[-1][2] and (way == "down" or record.t - path[-1][0] < 60):
            path.pop()
        path.append((record.t, record.agents, way))


def running(runs: Runs) -> tuple[Sequence[str], Rows]:
    """The thresholds where the server runs only so many requests at once, so that U stays low while the cache thrashes."""
    swept = [*STEPS[:2], STEPS[3], *STEPS[5:8]]
    rows: Rows = []
    for most in (96, 64, 48):
        case = qwen(8, PREFILL, most)
        off = runs.seconds(case, "off")
        for first in (8, 256):
            base = runs.seconds(case, "aimd", {"first": first})
            ratios = (runs.seconds(case, "aimd", {"first": first, key: value}) / base for key, value in swept)
            rows.append([most, first, f"{base:,.0f}", f"{off / base:.2f}", *(f"{ratio:.2f}" for ratio in ratios)])
    return ["running at most", "first", "makespan s", "x off", *(f"{key} {value:g}" for key, value in swept)], rows


def speedup(runs: Runs) -> tuple[Sequence[str], Rows]:
    """Controllers on the workload that gives the paper's speed-up."""
    rows: Rows = []
    for tp in (8, 4, 2):
        case = qwen(tp, PREFILL)
        off = runs.seconds(case, "off")
        found = [("off", runs.run(case, "off")), ("requests:64", runs.run(case, "requests:64")), ("aimd", runs.run(case, "aimd"))]
        found += [runs.best_window(case), *([("forecast", runs.run(case, "forecast"))] if runs.forecast else [])]
        rows += [[f"TP{tp}", *_row(name, run, off)] for name, run in found]
        bound = found[0][1]["lower_bound_s"]
        rows.append([f"TP{tp}", "lower bound", f"{bound:,.0f}", f"{off / bound:.2f}", "", ""])
    return ["", "controller", "makespan s", "x off", "hit rate", "miss rate"], rows


def search(runs: Runs) -> tuple[Sequence[str], Rows]:
    """What moves the speed-up at TP8: one property of the workload at a time."""
    rows: Rows = []
    for workload in _workloads():
        case = qwen(8, workload)
        off, aimd = runs.run(case, "off"), runs.run(case, "aimd")
        ratio, bound = off["makespan_s"] / aimd["makespan_s"], off["makespan_s"] / off["lower_bound_s"]
        name = ", ".join(f"{key} {value:g}" for key, value in workload.items()) or "default"
        seconds = (f"{run['makespan_s']:,.0f}" for run in (off, aimd))
        shared = workload.get("shared_tokens", 2000) * (case.agents - 1)
        again = (off["prompt_tokens"] - off["cached_tokens"]) / (off["prompt_tokens"] - off["history_tokens"] - shared)
        rows.append([name, *seconds, f"{ratio:.2f}", f"{bound:.2f}", f"{off['hit_rate']:.1%}", f"{again:.1f}"])
    return ["workload", "off s", "aimd s", "off / aimd", "off / bound", "hit rate off", "R"], rows


def _workloads() -> Iterator[dict[str, Any]]:
    yield {}
    for output in (100, 50, 30):
        yield {"output_median": output}
    for observation in (300, 1500):
        yield {"observation_median": observation}
    yield {"least_steps": 20, "most_steps": 40}
    yield {"start_tokens": 6000}
    for tool in (0.2, 5.0):
        yield {"tool_median_s": tool}
    yield PREFILL
    yield {**PREFILL, "least_steps": 20, "most_steps": 40}
    for tool in (0.2, 5.0):
        yield {**PREFILL, "tool_median_s": tool}
    small = {"shared_tokens": 500, "start_tokens": 1000, "output_median": 60}
    yield {**small, "observation_median": 250, "least_steps": 30, "most_steps": 50}


PARTS: dict[str, Callable[[Runs], tuple[Sequence[str], Rows]]] = {
    part.__name__: part for part in (requests, deepseek, speedup, search, thresholds, locked, readings, running)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="may be given again; default: all")
    parser.add_argument("--forecast", action="store_true", help="`forecast`, too, in the part speedup")
    parser.add_argument("--keep", type=Path, help="file of the runs done")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    runs = Runs(given.keep, given.seed, forecast=given.forecast)
    for part in given.part or PARTS:
        heading, rows = PARTS[part](runs)
        show(f"replication {part}", heading, rows, {"rows": len(rows)})


if __name__ == "__main__":
    main()
