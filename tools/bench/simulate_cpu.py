"""What simulations cost: CPU and memory of whole `concur simulate` processes, and of one iteration as more requests run.

python tools/bench/simulate_cpu.py                     the generated workload: 256 agents of 20 steps
CONCUR_TRACE=trace.jsonl python tools/bench/simulate_cpu.py    and 2,048 agents of that trace on qwen3-32b@h100x8
python tools/bench/simulate_cpu.py --iterations        an iteration with 256 to 4,096 running requests
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

from program import command

from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.profile import find_profile
from concur_batch.sim.runs import Run
from report import show


def measured(*arguments: str) -> tuple[dict[str, Any], float, float]:
    """Figures, seconds of CPU, and the most memory that any child so far has had, in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([command(), "simulate", *arguments, "--json"], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), cpu_s, after.ru_maxrss / 1024


def whole_runs() -> None:
    cases = [
        ("256 x 20", c, ("--set", "workload.least_steps=20", "--set", "workload.most_steps=20", "-c", c)) for c in ("off", "aimd")
    ]
    trace = os.environ.get("CONCUR_TRACE")
    if trace:
        if not Path(trace).is_file():
            raise SystemExit(f"simulate_cpu: there is no file {trace}, which CONCUR_TRACE names; correct or unset it")
        cases += [
            ("2,048 of the trace", c, (trace, "--agents", "2048", "--profile", "qwen3-32b@h100x8", "-c", c))
            for c in ("off", "aimd")
        ]
    rows, figures = [], {}
    for name, controller, arguments in cases:
        run, cpu_s, memory_mb = measured(*arguments)
        rows.append(
            [
                name,
                controller,
                run["steps"],
                f"{run['makespan_s']:.0f}",
                f"{cpu_s:.1f}",
                f"{1e3 * cpu_s / run['steps']:.2f}",
                f"{memory_mb:.0f}",
            ]
        )
        figures[f"{name} {controller}"] = round(cpu_s, 2)
    show("simulate_cpu", ["workload", "controller", "steps", "makespan s", "CPU s", "ms/step", "MB so far"], rows, figures)


def per_iteration(running: int, iterations: int = 60) -> tuple[float, float]:
    """Microseconds of CPU for one decode step alone, and for an arrival with a decode step and its prefill batch."""
    profile = find_profile("qwen3-32b@h200x8")
    options = ServerOptions(capacity_tokens=20_000_000, max_running_requests=8_192)
    core = EngineCore(options, profile.cost)

    def call(name: str, prompt: int, out: int) -> Call:
        runs = [Run("shared", 0, 2_000), Run(name, 0, prompt)]
        return Call(rid=name, prompt=runs, output=[Run(f"reply to {name}", 0, out)], max_new_tokens=out)

    for i in range(running):
        core.add(call(f"r{i}", 500, 1_000_000), 0.0)
    while len(core.running) < running:
        core.run_to(_next(core))
    decode = prefill = 0.0
    step = core.iterations
    for i in range(iterations):
        step += 1
        moment = core.began(step + 1)
        assert moment is not None
        began = time.process_time()
        core.settle(moment)  # one decode step, counted
        decode += time.process_time() - began
        began = time.process_time()
        core.add(call(f"n{i}", 500, 1), moment)  # cuts the burst, is prefilled, and ends
        core.run_to(_next(core))
        core.run_to(_next(core))
        prefill += time.process_time() - began
        core.take_events()
        step = core.iterations
    return decode / iterations * 1e6, prefill / iterations * 1e6


def _next(core: EngineCore) -> float:
    time_s = core.next_time()
    assert time_s is not None
    return time_s


def iterations() -> None:
    rows, figures, before = [], {}, (0.0, 0.0)
    for running in (256, 512, 1024, 2048, 4096):
        decode, prefill = min(per_iteration(running) for _ in range(3))
        growth = [f"{now / then:.2f}" if then else "" for now, then in zip((decode, prefill), before, strict=True)]
        rows.append([running, f"{decode:.0f}", growth[0], f"{prefill:.0f}", growth[1], f"{decode / running:.2f}"])
        figures[str(running)] = [round(decode), round(prefill)]
        before = decode, prefill
    show("simulate_iterations", ["running", "decode us", "x", "arrival+decode+prefill us", "x", "us per request"], rows, figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", action="store_true")
    if parser.parse_args().iterations:
        iterations()
    else:
        whole_runs()


if __name__ == "__main__":
    main()
