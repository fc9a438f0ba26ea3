"""Whether a simulation behaves as the server it stands for: the same load on both, over a sweep of windows and other controllers.

    python tools/fidelity/behaviour.py --runs 5 --out results

Starts SGLang on the CPU (tools/sglang_cpu, the model whose prefill takes time), fits a profile to it, replays a load that is
several times its KV pool under each controller, and simulates for each run what it sent: with the costs as fitted, and at the speed that the
machine had in that run (its seconds per prefilled token), since machines that are shared slow down and speed up. Medians are judged.
In each round a few agents that are not measured warm the server up, and another controller comes first. With --draws each round has a load
of its own, so that what is found does not hang on one order of agents.
--again FOLDER simulates and judges anew what an earlier call has measured. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import behaviour_load
from behaviour_twin import Twin, twin
from behaviour_verdict import compared, policy, table, verdict
from cpu_server import serving

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from policies import folder
from program import command
from served_run import Load, run, server_info

SERVER = ("--model", "ffn", "--pool", "20000", "--chunked-prefill-size", "4096")
CONTROLLERS = "off,fixed:4,fixed:6,fixed:8,fixed:10,fixed:12,fixed:16,aimd"
WARM_UP_AGENTS = 6
FITTED, MEASURED, RUNS = "fitted.toml", "measured.json", "runs"


def measure(
    given_url: str | None, out: Path, controllers: Sequence[str], seeds: Sequence[int], fit_s: float, agents: int
) -> None:
    """Fit, then all real runs in rounds, one for each of the load's `seeds`; writes profile, figures and run directories into `out`.

    Every round has a server of its own: on a CPU, SGLang grows by some 100 MB a minute under this load.
    """
    done: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds):
        with serving(out / "server.log", 3600.0, SERVER) if given_url is None else contextlib.nullcontext(given_url) as url:
            if not number:
                argv = [command(), "engine", "fit", url, "--output", str(out / FITTED), "--force"]
                argv += ["--seconds", str(fit_s)]
                subprocess.run(argv, check=True)
                print(f"SGLang {server_info(url)['version']}", flush=True)
            load = Load(url=url, trace=behaviour_load.drawn(out / f"drawn-{seed}.jsonl", agents, seed), timeout_s=600.0)
            run(dataclasses.replace(load, agents=WARM_UP_AGENTS), "fixed:4", out / f"warm-up-{number}")
            first = number % len(controllers)
            for controller in (*controllers[first:], *controllers[:first]):
                found = run(load, controller, out / RUNS / folder(controller, number))
                done.append({"run": number, **found})
                (out / MEASURED).write_text(json.dumps({"runs": done}, indent=1) + "\n")
                print(
                    f"{controller} {number + 1}/{len(seeds)}: {found['makespan_s']:.1f} s, {found['hit_rate']:.1%} cached",
                    flush=True,
                )


def judge(out: Path) -> list[str]:
    """Tables and verdict as Markdown."""
    runs = json.loads((out / MEASURED).read_text())["runs"]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as executor:

        def of(real: dict[str, Any]) -> Twin:
            name = folder(real["controller"], real["run"])
            return twin(out / RUNS / name, real["controller"], out / FITTED, Path(scratch) / name)

        twins = list(executor.map(of, runs))
    found = []
    for name in dict.fromkeys(real["controller"] for real in runs):
        own = [(real, its) for real, its in zip(runs, twins, strict=True) if real["controller"] == name]
        found.append(policy(name, [real for real, _ in own], [its.fitted for _, its in own], [its.paced for _, its in own]))
    speeds = sorted(its.slowness for its in twins)
    spread = f"- the machine's prefill took {speeds[0]:.2f} to {speeds[-1]:.2f} times what was fitted, median {statistics.median(speeds):.2f}"
    lines = [spread, *(f"- {line}" for line in verdict(found)), *(f"- {line}" for line in compared(runs))]
    return [*table(found), "", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each controller")
    parser.add_argument("--controllers", default=CONTROLLERS, help="with commas")
    parser.add_argument("--agents", type=int, default=behaviour_load.DRAWN.agents, help="of the load")
    parser.add_argument("--draws", action="store_true", help="another load in each round")
    parser.add_argument("--fit-s", type=float, default=120.0, help="seconds for fitting")
    parser.add_argument("--out", type=Path, default=Path("fidelity"), help="folder for everything measured")
    parser.add_argument("--engine", help="a server that runs already, in place of one that is started")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="judge what lies there, measure nothing")
    given = parser.parse_args()
    if given.again is not None and not (given.again / MEASURED).is_file():
        parser.error(f"--again {given.again}: nothing has been measured there (there is no {MEASURED})")
    if given.again is None:
        (given.out / RUNS).mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        seeds = range(given.runs) if given.draws else [0] * given.runs
        measure(given.engine, given.out, given.controllers.split(","), seeds, given.fit_s, given.agents)
        print(f"measured in {time.monotonic() - began:.0f} s\n")
    print("\n".join(judge(given.again or given.out)))


if __name__ == "__main__":
    main()
