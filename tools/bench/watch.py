"""How soon `concur watch` shows a large run, and what it costs to go on following it: `python tools/bench/watch.py`.

Writes a journal of `--records` records of `--bytes` bytes in the mean (256 agents active, one tool call a step), in which a
second process then goes on to write `--rate` records a second. Meanwhile `concur watch` runs on a terminal of 160 x 50 cells.
Prints one line of JSON: seconds and CPU seconds from its start to the first picture and to the first one of all that had been
written before, then the share of a core that it takes while it follows.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from concur_batch import records as r
from concur_batch.journal.follower import fold_journal
from concur_batch.journal.lock import RunLock
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter
from concur_batch.state import fold

ACTIVE = 256
STEPS = 20
CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
WATCH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # keys are heard on the process's own terminal only
os.execv(sys.executable, [sys.executable, "-m", "concur_batch.cli.main", "watch", sys.argv[1]])
"""


def rollout(number: int, t: float, text: str) -> Iterator[r.Record]:
    """One rollout's records, 3 a step and 2."""
    name = f"task-{number:07}#0"
    base: dict[str, Any] = {"rollout": name, "engine": "http://127.0.0.1:30000"}
    prompt = [{"role": "user", "content": text}]
    yield r.RolloutStarted(t=t, task=name[:-2], k=0, index=number, seed=number, model="m", messages=prompt, **base)
    for step in range(1, STEPS + 1):
        n, call = 2 * step - 1, f"call_{step}"
        function = {"name": "shell", "arguments": '{"command": "cat notes.txt"}'}
        message = {"role": "assistant", "content": text, "tool_calls": [{"id": call, "type": "function", "function": function}]}
        new: list[Any] = [n - 1] if n > 1 else []
        yield r.ReplyReceived(
            t=t, step=step, n=n, hash="0" * 16, after=max(0, n - 2), base=2 * step, new=new, message=message,
            finish_reason="tool_calls", prompt_tokens=1000 * step, completion_tokens=200, cached_tokens=900 * step,
            history_tokens=900 * step, missed_tokens=0, model_s=1.25, wait_s=0.002, **base,
        )  # fmt: skip
        yield r.ToolStarted(t=t, rollout=name, step=step, n=n + 1, tool="shell", hash="0" * 16, call_id=call)
        yield r.ToolFinished(t=t, rollout=name, step=step, n=n + 1, tool="shell", output=text, seconds=0.5, call_id=call)
    yield r.RolloutFinished(t=t, status="completed", output=text, n_steps=STEPS, prompt_tokens=210_000, **base)


def stream(text: str, first: int, rate: float) -> Iterator[r.Record]:
    """What a run writes, without end: 256 rollouts at a time, and a sample and a decision each second."""
    numbers = iter(range(first, 1_000_000_000))
    lives: list[Iterator[r.Record]] = [rollout(next(numbers), 0.0, text) for _ in range(ACTIVE)]
    written, sampled = 0, 0.0
    while True:
        for place, live in enumerate(lives):
            t = round(written / rate, 3)
            record = next(live, None)
            if record is None:
                lives[place] = rollout(next(numbers), t, text)
                continue
            record.t = t
            yield record
            written += 1
            if t >= sampled + 1.0:
                sampled = t
                engine = "http://127.0.0.1:30000"
                yield r.Sampled(
                    t=t, engine=engine, capacity_tokens=4_000_000, locked=0.6, resident=0.9, prompt_tokens=900_000,
                    cached_tokens=850_000, generated_tokens=20_000, history_tokens=850_000, missed_tokens=9_000, active=ACTIVE,
                    waiting=10_000, committed_tokens=2_600_000, steps=100,
                )  # fmt: skip
                yield r.Decided(t=t, engine=engine, tokens=int(3_700_000 + 1000 * (t % 60)), agents=1024, reason="grow")


def opened(host: str, pid: int, rollouts: int, epoch: float) -> list[r.Record]:
    """The first records of a segment."""
    seen = r.EngineSeen(
        t=0.0, engine="http://127.0.0.1:30000", engine_kind="sglang", model="m", capacity_tokens=4_000_000, policy="forecast"
    )
    loaded = r.BatchLoaded(t=0.0, tasks=rollouts, rollouts=rollouts, max_agents=1024)
    return [r.SegmentStarted(t=0.0, epoch=epoch, host=host, pid=pid, version="0"), loaded, seen]


def write_past(run_dir: Path, records: int, size: int) -> int:
    """The segment that is there before; its bytes."""
    (run_dir / "journal").mkdir()
    path = run_dir / "journal" / "000001.jsonl"
    sample = [len(r.encoder.encode(record)) + 1 for record in islice(stream("", 0, 3000.0), 50_000)]
    text = "the quick brown fox jumps over the lazy dog. " * 40
    with_text = 2 / 3  # of the records have one
    text = text[: max(0, int((size - sum(sample) / len(sample)) / with_text))]
    with path.open("wb", buffering=1 << 20) as file:
        for record in [*opened("past", 1, records, time.time() - records / 3000), *islice(stream(text, 0, 3000.0), records)]:
            file.write(r.encoder.encode(record) + b"\n")
    return path.stat().st_size


def write_on(run_dir: Path, rate: float) -> None:
    """The second process: goes on writing, until it is ended."""
    with RunLock(run_dir) as lock, closing(JournalWriter(run_dir)) as journal:
        lock.acquire()
        for record in opened(socket.gethostname(), os.getpid(), 10_000_000, time.time()):
            journal.write(record)
        began = time.monotonic()
        for written, record in enumerate(stream("z" * 400, 5_000_000, rate)):
            journal.write(record)
            if written % 30 == 0:
                time.sleep(max(0.0, began + written / rate - time.monotonic()))


class Watching:
    """`concur watch` on a terminal."""

    def __init__(self, run_dir: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(run_dir)],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._usage = psutil.Process(self.process.pid)
        self._shown = b""

    def until(self, claim: Callable[[str], bool]) -> tuple[float, float]:
        """Until it holds of a whole picture: seconds, and CPU seconds, since the start."""
        while True:
            self.read(0.05)
            pictures = CONTROLS.sub("", self._shown.decode("utf-8", "replace")).split("concur  ")
            if any(claim(picture) for picture in pictures[-2:] if "q leave" in picture):
                return time.monotonic() - self.began, self.cpu_s
            if self.process.poll() is not None:
                raise SystemExit(f"watch has ended: {self._shown[-2000:]!r}")

    def until_gone(self, text: str, quiet_s: float = 1.5) -> tuple[float, float]:
        """Until it has not been written for so long: seconds, and CPU seconds, from the start to when it was written last."""
        last = time.monotonic() - self.began, self.cpu_s
        while time.monotonic() - self.began - last[0] < quiet_s:
            self._shown = b""
            self.read(0.05)
            if text in CONTROLS.sub("", self._shown.decode("utf-8", "replace")):
                last = time.monotonic() - self.began, self.cpu_s
        return last

    def read(self, seconds: float) -> None:
        """Take what it draws, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                self._shown = (self._shown + os.read(self._master, 1 << 16))[-200_000:]

    @property
    def cpu_s(self) -> float:
        """So far."""
        times = self._usage.cpu_times()
        return times.user + times.system

    @property
    def resident_bytes(self) -> int:
        """Of memory, now."""
        return self._usage.memory_info().rss

    def close(self) -> int:
        """Press q; its exit code."""
        os.write(self._master, b"q")
        try:
            for _ in range(100):
                self.read(0.1)
        except OSError:  # it has closed its terminal
            return self.process.wait(10)
        self.process.kill()
        return self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=500)
    parser.add_argument("--rate", type=float, default=300.0, help="records a second that are written meanwhile")
    parser.add_argument("--seconds", type=float, default=20.0, help="of following")
    parser.add_argument("--whole", action="store_true", help="also fold the journal at one go, in whole records and in slim ones")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write_on(options.write, options.rate)
        return
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        run_dir.mkdir()
        size = write_past(run_dir, options.records, options.bytes)
        figures: dict[str, Any] = {"records": options.records, "MB": round(size / 1e6), "bytes": round(size / options.records)}
        if options.whole:
            folds = {"whole": lambda: fold(JournalReader(run_dir).records()), "slim": lambda: fold_journal(run_dir)}
            for name, fold_all in folds.items():
                before = time.process_time()
                fold_all()
                figures[f"{name}_fold_cpu_s"] = round(time.process_time() - before, 2)
        writer = subprocess.Popen([sys.executable, __file__, "--write", str(run_dir), "--rate", str(options.rate)])
        try:
            time.sleep(2.0)
            watching = Watching(run_dir)
            first = watching.until(lambda picture: "elapsed" in picture)
            whole = watching.until_gone("reading the journal")
            watching.read(3.0)
            cpu_s, at = watching.cpu_s, time.monotonic()
            watching.read(options.seconds)
            share = (watching.cpu_s - cpu_s) / (time.monotonic() - at)
            figures |= {
                "first_picture_s": round(first[0], 2), "first_picture_cpu_s": round(first[1], 2),
                "all_read_s": round(whole[0], 2), "all_read_cpu_s": round(whole[1], 2),
                "following_share_of_a_core": round(share, 4), "resident_MB": watching.resident_bytes // 1_000_000, "exit_code": watching.close(),
            }  # fmt: skip
        finally:
            writer.kill()
            writer.wait()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
