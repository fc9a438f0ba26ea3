"""The measuring half of `run`, with concur's packages at hand: plan, server, runs, table. Not to be called by itself."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import model
import plan
import run
import server
from install import StageError, cuda_home
from record import BENCH, Record

from concur_batch.config.model import Controller

CPU_CONTEXT_TOKENS = 16_384  # of tools/sglang_cpu
CLOSING_S = 25.0  # to end the server and to write what is kept
DRAIN_S = 12.0  # of a run that is cut: what is under way ends
DRIVER_S = 8.0  # its start and the emptying of the cache before the run, its figures after it
CUT_S = CLOSING_S + DRIVER_S + DRAIN_S  # what no run may use


class Measuring:
    """One call of `run`."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.out: Path = given.out.absolute()
        self.work: Path = given.work.absolute()
        self.model = self.work / "model"
        self.runs = self.work / "runs" / str(os.getpid())
        self.context = CPU_CONTEXT_TOKENS if given.cpu else model.CONTEXT_TOKENS
        if not given.dry_run:
            self.out.mkdir(parents=True, exist_ok=True)
            self.work.mkdir(parents=True, exist_ok=True)
        self.record = Record(None if given.dry_run else self.out, given.until)

    def selection(self) -> plan.Selection:
        """Which agents, as the options say."""
        given = self.given
        return plan.select(
            given.trace,
            given.agents,
            token_scale=given.token_scale,
            time_scale=given.time_scale,
            context_tokens=self.context,
            calls=given.calls,
        )

    def server_argv(self, port: int, pool: int, extra: tuple[str, ...]) -> list[str]:
        """Of the server on the GPU, or of the small one."""
        more = [*extra, *shlex.split(self.given.server_flags)]
        if self.given.cpu:
            return server.cpu_argv(port, pool, self.record.left_s() + 60, more)
        return server.gpu_argv(self.model, port, pool, self.context, more)

    @contextlib.contextmanager
    def served(self, pool: int) -> Iterator[server.Server]:
        """A server that answers; the plainer one where the first does not start. Ended at the end."""
        say, ways = self.record.say, server.FALLBACKS[:1] if self.given.cpu else server.FALLBACKS
        for number, extra in enumerate(ways):
            port, began = server.free_port(), time.monotonic()
            running = server.Server(self.server_argv(port, pool, extra), port, self.out / "server.log", os.environ)
            try:
                try:
                    running.wait(min(self.given.start_s, self.record.left_s() - CLOSING_S), say)
                except StageError as failed:
                    if number + 1 == len(ways):
                        raise
                    say(f"{failed}\ntrying again with {' '.join(ways[number + 1])}")
                    continue
                say(f"the server is ready after {time.monotonic() - began:.0f} s: {running.url} {' '.join(extra)}")
                yield running
                return
            finally:
                running.stop()

    def driver_argv(self, url: str, controller: str, number: int, figures: Path) -> list[str]:
        """Of tools/bench/policies.py. A run that is cut has drained and told its figures before CLOSING_S begins."""
        given = self.given
        argv = [sys.executable, str(BENCH / "policies.py"), "--engine", url, "--trace", str(self.out / "trace.jsonl")]
        argv += ["--controllers", controller, "--agents", str(given.agents), "--json", str(figures)]
        argv += ["--token-scale", str(given.token_scale), "--time-scale", str(given.time_scale)]
        argv += ["--out", str(self.runs / str(number)), "--timeout-s", f"{self.record.left_s() - CUT_S:.1f}"]
        return [*argv, "--drain-s", str(DRAIN_S)]

    def one(self, url: str, controller: str, number: int) -> bool:
        """One run by tools/bench/policies.py, in a process of its own. Whether it gave figures."""
        figures, said = self.work / "one.json", self.out / "runs.log"
        figures.unlink(missing_ok=True)
        argv = self.driver_argv(url, controller, number, figures)
        with said.open("ab") as log:
            driver = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
            code: int | None = None
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = driver.wait(self.record.left_s() - CLOSING_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(driver.pid, signal.SIGKILL)
                driver.wait()
        if not figures.exists():
            self.record.say(f"{controller}: no figures (code {code}); the end of runs.log:\n{server.last_lines(said, 12)}")
            return False
        self.record.add({**json.loads(figures.read_text())["runs"][0], "run": number})
        return True

    def compare(self, url: str, controllers: list[str]) -> None:
        """Round after round while the time lasts, each begun by the next controller, so that none is always the one that has no
        time left. A run that would be cut far from its end is not begun.
        """
        for number in range(self.given.runs):
            first = number % len(controllers)
            for controller in [*controllers[first:], *controllers[:first]]:
                if self.record.left_s() - CUT_S < max(5.0, 0.7 * self.record.longest_s()):
                    self.record.say(f"no time left for {controller} and what comes after it")
                    return
                if self.one(url, controller, number):
                    found = self.record.runs[-1]
                    cut = "" if found["finished"] else ", cut"
                    self.record.say(
                        f"{controller}: {found['makespan_s'] or 0.0:.1f} s, {found['hit_rate'] or 0.0:.1%} cached{cut}"
                    )


def default_policy() -> str:
    """What `concur run` uses where nothing is said."""
    return Controller().name


def wake(url: str) -> float:
    """Let the server meet prompts of several lengths, alone and together, so that the first run does not pay for kernels that
    are compiled then. Returns the seconds it took.
    """
    words, began = "able area army away back ball band bank base best " * 40, time.monotonic()
    ask = [sys.executable, str(Path(__file__).with_name("ask.py")), url]
    asked = [
        subprocess.Popen([*ask, words * copies, str(8 * copies)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for copies in (1, 2, 3, 4)
    ]
    for process in asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(120)
        process.kill()
        process.wait()
    return time.monotonic() - began


def prepare(of: Measuring) -> None:
    """The model's folder, and kernels that were compiled the last time."""
    if of.given.cpu:
        return
    if cuda_home() is None:
        of.record.say("no CUDA toolkit was found (nvcc with headers); SGLang cannot compile the kernels it needs")
    kernels = of.given.wheels / "kernels.tar.gz"
    if kernels.exists():
        with tarfile.open(kernels) as archive:
            archive.extractall(of.work, filter="data")
    model.build(of.model)


def measure(of: Measuring) -> None:
    """All stages. Raises StageError where one does not come to its end."""
    given, say = of.given, of.record.say
    chosen = of.selection()
    pool = plan.pool_tokens(chosen.agents, given.overflow)
    figures = plan.described(chosen, pool, given.overflow)
    names = given.controllers.split(",") if given.controllers else plan.controllers(figures["windows"], default_policy())
    say(f"plan: {json.dumps(figures)}")
    say(f"controllers: {', '.join(names)}")
    if given.dry_run:
        say(shlex.join(of.server_argv(30000, pool, ())))
        return
    (of.out / "trace.jsonl").write_text("\n".join(chosen.rows) + "\n", encoding="utf-8")
    scales = {"token_scale": given.token_scale, "time_scale": given.time_scale}
    of.record.keep(machine=given.machine, plan={**figures, **scales, "controllers": names})
    prepare(of)
    with of.served(pool) as running:
        sys.path.insert(0, str(BENCH))
        from served_run import server_info  # noqa: PLC0415 - lies elsewhere

        try:
            info = server_info(running.url)
        except (OSError, http.client.HTTPException) as error:
            raise StageError(f"{running.url}/server_info: {error}; see {running.log}") from None
        real = int(info["max_total_num_tokens"])
        of.record.keep(server={key: value for key, value in info.items() if key != "internal_states"})
        say(f"pool: {real:,} tokens, the working set is {figures['working_set_tokens'] / real:.1f} times that")
        if real < 0.99 * pool and not given.controllers:
            names = plan.controllers(plan.windows(chosen.agents, real), default_policy())
            say(f"controllers for that pool: {', '.join(names)}")
        say(f"warmed up in {wake(running.url):.0f} s")
        of.compare(running.url, names)


def main() -> int:
    given = run.options()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    of, code = Measuring(given), 0
    try:
        measure(of)
    except (StageError, ValueError, OSError) as stopped:  # an OSError names its file
        of.record.say(str(stopped))
        code = 1
    except KeyboardInterrupt:
        of.record.say("interrupted; what was measured:")
        code = 130
    if given.dry_run:
        return code
    if not given.cpu:
        of.record.archive("kernels.tar.gz", of.work / "kernels")
    of.record.archive("journals.tar.gz", of.runs)
    of.record.table()
    return code or int(not of.record.runs)


if __name__ == "__main__":
    sys.exit(main())
