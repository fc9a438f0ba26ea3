"""Kill a run with SIGKILL at random moments, resume it each time, and check that nothing is lost and nothing is done twice.

One run directory, one chain: start, kill, resume, kill, ... and one resume to the end. A quarter of the kills falls anywhere in the start-up, the
others anywhere in the time of work after it. Checked after every kill and at the end, by the journal, by what the echo server
was asked, and by marks that the tool leaves:

  every rollout has exactly one result row, and it is completed
  a rollout with a terminal record gets no further record and makes no further call
  each kill costs an agent at most the one step that was in flight
  a tool that is not repeatable never takes effect twice
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import tempfile
import time
from pathlib import Path

import ledger
import processes
import program

import report

SETTLE_SECONDS = 0.1  # for bytes still on their way to the server when the program died


class Chain:
    """The lives of one run."""

    def __init__(self, url: str, scratch: Path, options: argparse.Namespace) -> None:
        self.url = url
        self.out = scratch / "out"
        self.log = scratch / "log"
        self.marks = scratch / "marks"
        self.random = random.Random(options.seed)
        # Together the kills leave half of the work undone, so that the chain does not run dry.
        self.span = options.rollouts * options.calls * options.latency / options.agents / max(1, options.kills)
        self.start_up = 1.0  # seconds until the first record of a life, as last seen
        self.deadline = time.monotonic() + options.timeout
        job = scratch / "job.jsonl"
        program.write_job(job, tasks=options.rollouts)
        self.first = program.run_argv(job, url, self.out, tools=program.BENCH / "marking_tools.py", max_agents=options.agents)

    def argv(self) -> list[str]:
        """What the next life is started with: `run` until the run directory has a journal."""
        return program.resume_argv(self.out) if program.segments(self.out) else self.first

    def life(self) -> tuple[str, float]:
        """Start, kill at a random moment. Where it died (start-up | work), and seconds after the start."""
        known = len(program.segments(self.out))
        begun = time.monotonic()
        child = processes.start(self.argv(), None, self.log, {"BENCH_MARKS": str(self.marks)})
        try:
            if known and self.random.random() < 0.25:
                time.sleep(self.random.uniform(0.0, self.start_up))
            else:
                while not self._working(known):
                    self._check(child.poll())
                    time.sleep(0.01)
                self.start_up = time.monotonic() - begun
                time.sleep(self.random.uniform(0.0, self.span))
            self._check(child.poll())
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        where = "work" if self._working(known) else "start-up"
        time.sleep(SETTLE_SECONDS)
        return where, time.monotonic() - begun

    def _working(self, known: int) -> bool:
        """Whether this life's own segment has records of rollouts: more than its opening line."""
        segments = program.segments(self.out)
        return len(segments) > known and b'"rollout_' in segments[-1].read_bytes()[:65536]

    def _check(self, exit_code: int | None) -> None:
        if exit_code is not None or time.monotonic() > self.deadline:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            why = (
                "the time is up" if exit_code is None else f"it ended by itself (exit code {exit_code}) before it could be killed"
            )
            raise SystemExit(f"kill_resume: {why}; its last output:\n{tail}")

    def to_the_end(self) -> int:
        """The last resume; its exit code."""
        left = max(10.0, self.deadline - time.monotonic())
        argv, marks = self.argv(), {"BENCH_MARKS": str(self.marks)}
        return processes.measured(argv, core=None, log=self.log, timeout=left, extra=marks).exit_code


def main() -> None:
    """Run the chain, print what was found, and fail on any fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rollouts", type=int, default=300)
    parser.add_argument("--calls", type=int, default=16, help="model calls per rollout")
    parser.add_argument("--agents", type=int, default=16, help="active at once")
    parser.add_argument("--latency", type=float, default=0.25, help="mean seconds before each reply of the server")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for the whole chain")
    options = parser.parse_args()
    faults: list[str] = []
    active_at_kill: list[int] = []
    died = {"start-up": 0, "work": 0}
    before: ledger.Ledger | None = None
    with (
        tempfile.TemporaryDirectory(prefix="kill-resume-") as folder,
        processes.echo_server(calls=options.calls, latency=options.latency, core=None) as url,
    ):
        chain = Chain(url, Path(folder), options)
        for number in range(1, options.kills + 1):
            where, _ = chain.life()
            died[where] += 1
            after = ledger.read(chain.out, url)
            faults += [f"kill {number}: {fault}" for fault in ledger.faults_between(before, after)]
            if where == "work":
                active_at_kill.append(len(after.started - after.finished))
            before = after
        exit_code = chain.to_the_end()
        end = ledger.read(chain.out, url)
        faults += [f"end: {fault}" for fault in ledger.faults_between(before, end)]
        faults += [
            f"end: {name}: a call is not in the journal" for name in end.calls if before and _lost_at_end(before, end, name)
        ]
        if exit_code == 0:
            faults += ledger.faults_of_results(program.results(chain.out), options.rollouts)
        else:
            faults.append(f"the last resume ended with exit code {exit_code}:\n{chain.log.read_text(errors='replace')[-1500:]}")
        faults += ledger.faults_of_marks(chain.marks)
    calls = sum(sum(counts) for counts in end.calls.values())
    repeated = calls - sum(end.steps.values())
    finished_early = len(before.finished) if before else 0
    row = [options.rollouts, options.kills, f"{died['start-up']}+{died['work']}", statistics.mean(active_at_kill or [0])]
    row += [finished_early, calls, repeated, sum(end.steps.values()), len(faults)]
    heading = ["rollouts", "kills", "in start-up+work", "active at a kill (mean)", "finished before the last resume"]
    heading += ["calls", "repeated steps", "steps", "faults"]
    figures = {
        "rollouts": options.rollouts,
        "kills": options.kills,
        "calls": calls,
        "repeated_steps": repeated,
        "faults": len(faults),
    }
    report.show("kill_resume", heading, [row], figures)
    if faults:
        raise SystemExit("\n".join(faults[:20]))


def _lost_at_end(before: ledger.Ledger, end: ledger.Ledger, name: str) -> bool:
    """The last life was not killed: it may lose nothing."""
    return ledger.unjournalled(end, name) > ledger.unjournalled(before, name)


if __name__ == "__main__":
    main()
