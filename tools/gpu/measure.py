"""The measuring half of `run`, with concur's packages at hand: plan, server, runs, table. Not to be called by itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import model
import plan
import run
import server
from install import CHECKOUT, StageError, cuda_home

from concur_batch.config.model import Controller

BENCH = CHECKOUT / "tools" / "bench"
CPU_CONTEXT_TOKENS = 16_384  # of tools/sglang_cpu
CLOSING_S = 25.0  # to end the server and to write what is kept
DRAIN_S = 20.0  # of a run that is cut: what is under way ends
MOST_KEPT_BYTES = 15 * 2**20  # of an archive beside the results


class Measuring:
    """One call of `run`: everything that is said and kept goes through it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.out: Path = given.out.absolute()
        self.work: Path = given.work.absolute() / ("cpu" if given.cpu else "gpu")
        self.out.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)
        self.done: list[dict[str, Any]] = []
        self.kept: dict[str, Any] = {"runs": self.done}  # what results.json holds
        self.runs = self.work / "runs" / str(os.getpid())
        self.context = CPU_CONTEXT_TOKENS if given.cpu else model.CONTEXT_TOKENS
        self._log = (self.out / "run.log").open("a", encoding="utf-8")

    def left_s(self) -> float:
        """Until all has to have ended."""
        return float(self.given.until) - time.monotonic()

    def say(self, text: str) -> None:
        """To the terminal and to run.log, with the time left."""
        line = f"[{max(0.0, self.left_s()):4.0f} s left] {text}"
        print(line, flush=True)
        print(line, file=self._log, flush=True)

    def keep(self, **parts: Any) -> None:
        """In results.json, besides the runs so far."""
        self.kept.update(parts)
        (self.out / "results.json").write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")

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
        more = [*extra, *self.given.server_flags.split()]
        if self.given.cpu:
            return server.cpu_argv(port, pool, self.left_s() + 60, more)
        return server.gpu_argv(self.work / "model", port, pool, self.context, more)

    @contextlib.contextmanager
    def served(self, pool: int) -> Iterator[server.Server]:
        """A server that answers; the plainer ones where the first does not start. Ended at the end."""
        ways = server.FALLBACKS[:1] if self.given.cpu else server.FALLBACKS
        for number, extra in enumerate(ways):
            port = server.free_port()
            began = time.monotonic()
            running = server.Server(self.server_argv(port, pool, extra), port, self.out / "server.log", os.environ)
            try:
                try:
                    running.wait(min(self.given.start_s, self.left_s() - CLOSING_S), self.say)
                except StageError as failed:
                    if number + 1 == len(ways):
                        raise
                    self.say(f"{failed}\ntrying again with {' '.join(ways[number + 1])}")
                    continue
                self.say(f"the server is ready after {time.monotonic() - began:.0f} s: {running.url} {' '.join(extra)}")
                yield running
                return
            finally:
                running.stop()

    def one(self, url: str, controller: str, number: int) -> bool:
        """One run by tools/bench/policies.py, in a process of its own. Whether it gave figures."""
        given, figures = self.given, self.work / "one.json"
        figures.unlink(missing_ok=True)
        argv = [sys.executable, str(BENCH / "policies.py"), "--engine", url, "--trace", str(self.out / "trace.jsonl")]
        argv += ["--controllers", controller, "--agents", str(given.agents), "--json", str(figures)]
        argv += ["--token-scale", str(given.token_scale), "--time-scale", str(given.time_scale)]
        argv += ["--out", str(self.runs / str(number))]
        argv += ["--timeout-s", f"{self.left_s() - CLOSING_S - DRAIN_S:.0f}"]
        with (self.out / "runs.log").open("ab") as log:
            driver = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
            try:
                code = driver.wait(self.left_s() - CLOSING_S / 2)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(driver.pid, signal.SIGKILL)
                driver.wait()
        if not figures.exists():
            self.say(
                f"{controller}: no figures (code {code}); the end of runs.log:\n{server.last_lines(self.out / 'runs.log', 12)}"
            )
            return False
        self.done.append({**json.loads(figures.read_text())["runs"][0], "run": number})
        self.keep()
        return True

    def compare(self, url: str, controllers: list[str]) -> None:
        """Round after round while the time lasts. A run that would be cut far from its end is not begun."""
        for number in range(self.given.runs):
            for controller in controllers:
                longest = max((found["makespan_s"] or 0.0 for found in self.done), default=0.0)
                if self.left_s() - CLOSING_S - DRAIN_S < max(5.0, 0.5 * longest):
                    self.say(f"no time left for {controller} and what comes after it")
                    return
                if self.one(url, controller, number):
                    found = self.done[-1]
                    self.say(
                        f"{controller}: {found['makespan_s'] or 0.0:.1f} s, {found['hit_rate'] or 0.0:.1%} cached"
                        + ("" if found["finished"] else ", cut")
                    )

    def table(self) -> None:
        """Everything measured, to the terminal and to run.log."""
        if not self.done:
            self.say("nothing was measured")
            return
        sys.path.insert(0, str(BENCH))
        from policies import HEADING, rows  # noqa: PLC0415 - lies elsewhere

        lines = [HEADING, *rows(self.done)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADING))]
        for line in lines:
            text = "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            print(text, flush=True)
            print(text, file=self._log, flush=True)

    def archive(self, name: str, folder: Path) -> None:
        """The folder as an archive beside the results, unless it is too large to be handed around."""
        if not folder.is_dir():
            return
        path = self.out / name
        with tarfile.open(path, "w:gz", compresslevel=5) as archive:
            archive.add(folder, arcname=folder.name)
        if path.stat().st_size > MOST_KEPT_BYTES:
            path.unlink()
            self.say(f"{name} would be too large; {folder} stays where it is")


def default_policy() -> str:
    """What `concur run` uses where nothing is said."""
    return Controller().name


def wake(url: str, say: Any) -> None:
    """Let the server meet the shapes it will meet, so that the first run does not pay for kernels that are compiled then."""
    words = "able area army away back ball band bank base best " * 40
    began = time.monotonic()
    asked = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ask.py")), url, words * copies, str(tokens)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for copies, tokens in ((1, 8), (2, 16), (3, 24), (4, 32))
    ]
    for process in asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(120)
        process.kill()
    say(f"warmed up in {time.monotonic() - began:.0f} s")


def measured(of: Measuring) -> None:
    """All stages. Raises StageError where one does not come to its end."""
    given = of.given
    chosen = of.selection()
    pool = plan.pool_tokens(chosen.agents, given.overflow)
    figures = plan.described(chosen, pool, given.overflow)
    names = given.controllers.split(",") if given.controllers else plan.controllers(figures["windows"], default_policy())
    of.say(f"plan: {json.dumps(figures)}")
    of.say(f"controllers: {', '.join(names)}")
    (of.out / "trace.jsonl").write_text("\n".join(chosen.rows) + "\n", encoding="utf-8")
    scales = {"token_scale": given.token_scale, "time_scale": given.time_scale}
    of.keep(plan={**figures, **scales, "controllers": names})
    if given.dry_run:
        of.say(" ".join(of.server_argv(30000, pool, ())))
        return
    if not given.cpu:
        if cuda_home() is None:
            of.say("no CUDA toolkit was found (nvcc with headers); SGLang cannot compile the kernels it needs")
        kernels = given.wheels / "kernels.tar.gz"
        if kernels.exists():
            with tarfile.open(kernels) as archive:
                archive.extractall(given.work, filter="data")
        model.build(of.work / "model")
    with of.served(pool) as running:
        sys.path.insert(0, str(BENCH))
        from served_run import server_info  # noqa: PLC0415 - lies elsewhere

        info = server_info(running.url)
        real = int(info["max_total_num_tokens"])
        of.keep(server={key: value for key, value in info.items() if key != "internal_states"})
        of.say(f"pool: {real:,} tokens, the working set is {figures['working_set_tokens'] / real:.1f} times that")
        if real < pool and not given.controllers:
            names = plan.controllers(plan.windows(chosen.agents, real), default_policy())
            of.say(f"controllers for that pool: {', '.join(names)}")
        wake(running.url, of.say)
        of.compare(running.url, names)


def main() -> int:
    given = run.options()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    of = Measuring(given)
    code = 0
    try:
        measured(of)
    except (StageError, ValueError) as stopped:
        of.say(str(stopped))
        code = 1
    except KeyboardInterrupt:
        of.say("interrupted; what was measured:")
        code = 130
    if not given.dry_run:
        if not given.cpu:
            of.archive("kernels.tar.gz", given.work.absolute() / "kernels")
        of.archive("journals.tar.gz", of.runs)
        of.table()
    return code or int(not of.done and not given.dry_run)


if __name__ == "__main__":
    sys.exit(main())
