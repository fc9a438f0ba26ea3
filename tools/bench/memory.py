"""Peak resident memory of the program: 10,000 tasks, 256 active, histories of 16 kB.

Each task brings 8 messages of 2 kB and makes 2 model calls with one tool call between them. The peak is VmHWM from /proc, read ten times
a second until the process ends, so it includes validating the job, the run and writing the results.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import processes
import program

import report


def main() -> None:
    """Measure, print, and fail above --at-most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--agents", type=int, default=256, help="active")
    parser.add_argument("--messages", type=int, default=8)
    parser.add_argument("--message-bytes", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=2, help="model calls per task")
    parser.add_argument(
        "--latency", type=float, default=0.4, help="mean seconds before each reply, so that all agents are in flight"
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds")
    parser.add_argument("--at-most", type=float, help="fail above so many MB (1,000,000 bytes)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        scratch = Path(folder)
        job, out, log = scratch / "job.jsonl", scratch / "out", scratch / "log"
        program.write_job(job, tasks=options.tasks, messages=options.messages, message_bytes=options.message_bytes)
        with processes.echo_server(calls=options.calls, latency=options.latency) as url:
            argv = program.run_argv(job, url, out, max_agents=options.agents)
            usage = processes.measured(argv, core=0, log=log, timeout=options.timeout)
            counted = processes.counts(url)
        if usage.exit_code:
            raise SystemExit(f"exit code {usage.exit_code}\n{log.read_text(errors='replace')[-2000:]}")
        steps = program.steps_done(out, options.tasks)
        journal_bytes = sum(segment.stat().st_size for segment in program.segments(out))
    peak_mb = usage.peak_kib * 1024 / 1e6
    history = options.messages * options.message_bytes
    heading = ["tasks", "active", "in flight", "history", "steps", "journal MB", "peak MB", "CPU s", "wall s"]
    row = [
        options.tasks,
        options.agents,
        counted["peak_in_flight"],
        history,
        steps,
        f"{journal_bytes / 1e6:.0f}",
        f"{peak_mb:.0f}",
    ]
    figures = {"tasks": options.tasks, "agents": options.agents, "history_bytes": history, "peak_mb": round(peak_mb, 1)}
    figures |= {"steps": steps, "wall_s": round(usage.wall_seconds, 1)}
    report.show("memory", heading, [[*row, f"{usage.cpu_seconds:.1f}", f"{usage.wall_seconds:.1f}"]], figures)
    if options.at_most and peak_mb > options.at_most:
        raise SystemExit(f"{peak_mb:.0f} MB at the peak, where {options.at_most:.0f} MB are allowed")


if __name__ == "__main__":
    main()
