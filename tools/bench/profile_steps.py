"""Where the program's CPU goes: `concur run` under cProfile on a case of step_cpu, the functions that cost most of themselves.

cProfile slows Python code down more than code in C, so read the order, not the milliseconds; step_cpu has those.
"""

from __future__ import annotations

import argparse
import marshal
import sys
import tempfile
from pathlib import Path

import processes
import program

import report


def main() -> None:
    """Run once, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["a", "b"], default="a", help="as in step_cpu")
    parser.add_argument("--tasks", type=int, default=512)
    parser.add_argument("--agents", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--sort", choices=["tottime", "cumtime"], default="tottime")
    parser.add_argument("--top", type=int, default=25)
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--bare", action="store_true", help="profile the bare loop instead")
    options = parser.parse_args()
    calls, messages, size = (9, 1, 200) if options.case == "a" else (3, 32, 2000)
    with (
        tempfile.TemporaryDirectory(prefix="profile-") as folder,
        processes.echo_server(calls=calls, latency=options.latency) as url,
    ):
        scratch = Path(folder)
        job, dump, log = scratch / "job.jsonl", scratch / "profile", scratch / "log"
        program.write_job(job, tasks=options.tasks, messages=messages, message_bytes=size)
        ours = program.run_argv(job, url, scratch / "out", max_agents=options.agents)
        bare = [str(processes.BENCH / "bare_loop.py"), str(job), "--engine", url, "--concurrency", str(options.agents)]
        argv = [sys.executable, "-m", "cProfile", "-o", str(dump), *(bare if options.bare else ours)]
        usage = processes.measured(argv, core=0, log=log, timeout=options.timeout)
        if not dump.exists():
            raise SystemExit(f"exit code {usage.exit_code}\n{log.read_text(errors='replace')[-2000:]}")
        steps = processes.counts(url)["total"]
        functions = marshal.loads(
            dump.read_bytes()
        )  # (file, line, name): (primitive calls, calls, own s, s with callees, callers)
    column = 2 if options.sort == "tottime" else 3
    rows: list[list[object]] = []
    for (file, line, name), figures in sorted(functions.items(), key=lambda item: -item[1][column])[: options.top]:
        own, whole = (1e6 * seconds / steps for seconds in figures[2:4])
        place = f"{'/'.join(Path(file).parts[-3:])}:{line}" if line else file
        rows.append([f"{own:.1f}", f"{whole:.1f}", figures[1], name, place])
    total = sum(figures[2] for figures in functions.values())
    heading = ["own µs/step", "with callees", "calls", "function", "place"]
    report.show("profile_steps", heading, rows, {"case": options.case, "steps": steps, "total_s": round(total, 2)})


if __name__ == "__main__":
    main()
