"""A batch through the whole program, and what must be true of it whatever happened to its server."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from concur_batch import records as r
from concur_batch.control.aimd import AimdParameters

AGENTS = Path(__file__).with_name("batch_agent.py")
RUN_S = 400  # far above what a batch takes on two cores; ends a run that hangs
LAW = AimdParameters()

R = TypeVar("R", bound=r.Record)


class Batch:
    """One `concur run` as a process. `more`: options of its own."""

    def __init__(self, folder: Path, url: str, *, tasks: int, agent: str = "walk", name: str = "walk", more: list[Any]) -> None:
        self.out, self.said = folder / "run", folder / "said.txt"
        self.tasks = [f"{name}-{i:02d}" for i in range(tasks)]
        job = folder / "jobs.jsonl"
        rows = ({"id": task, "prompt": f"{task}: {'look around, then say what is there. ' * 40}"} for task in self.tasks)
        job.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command: list[Any] = [Path(sys.executable).with_name("concur"), "run", job, "--engine", url]
        command += ["--agent", f"{AGENTS}:{agent}", "--tools", AGENTS, "--out", self.out, "--no-live"]
        self._command = [*command, "--max-agents", str(tasks), "--controller", "aimd", *more]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Beside it something may happen; it has to come to a good end afterwards."""
        with self.said.open("wb") as sink:
            self._run = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        try:
            yield
            code = self._run.wait(RUN_S)
        finally:
            self._run.kill()
            self._run.wait()
        assert code == 0, self.said.read_text()[-3000:]

    def until(self, fact: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for a fact about processes of the real world, which only shows by looking; fail when the run ends before it."""
        end = time.monotonic() + seconds
        while not fact():
            code = self._run.poll()
            assert code is None, f"the run ended early, with code {code}:\n{self.said.read_text()[-3000:]}"
            assert time.monotonic() < end, f"not within {seconds} s; the run said:\n{self.said.read_text()[-3000:]}"
            time.sleep(0.1)

    def journal(self) -> Iterator[r.Record]:
        """All whole lines of the journal, also beside a live run."""
        for segment in sorted((self.out / "journal").glob("*.jsonl")):
            for line in segment.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    yield r.decoder.decode(line)

    def of(self, kind: type[R]) -> list[R]:
        return [record for record in self.journal() if isinstance(record, kind)]

    def replies(self) -> int:
        return len(self.of(r.ReplyReceived))

    def now(self) -> float:
        """This moment on the journal's clock."""
        return time.time() - self.of(r.SegmentStarted)[0].epoch

    # What must be true ---------------------------------------------------------------------------------------------------

    def check_done_once(self, steps: int) -> None:
        """One result per rollout, one record per call, every tool call took effect exactly once."""
        rows = pq.read_table(self.out / "results.parquet").to_pylist()
        assert [row["id"] for row in rows] == self.tasks
        assert {row["status"] for row in rows} == {"completed"}
        assert {row["output"] for row in rows} == {" ".join(str(step) for step in range(1, steps + 1))}
        assert {row["n_steps"] for row in rows} == {steps}
        assert Counter(x.rollout for x in self.of(r.RolloutFinished)) == {f"{task}#0": 1 for task in self.tasks}

        calls: dict[str, dict[int, type]] = defaultdict(dict)
        for x in self.journal():
            if isinstance(x, r.ReplyReceived | r.ToolFinished):
                assert x.n not in calls[x.rollout], f"call {x.n} of {x.rollout} has two records"
                calls[x.rollout][x.n] = type(x)
        turns = [r.ReplyReceived, r.ToolFinished] * steps + [r.ToolFinished]
        assert len(calls) == len(self.tasks)
        assert all([kind for _, kind in sorted(of_one.items())] == turns for of_one in calls.values())

    def check_decisions(self) -> None:
        """The limit moves as the law says, on evidence, and not otherwise."""
        most = len(self.tasks)
        steps = [(None, self.of(r.Decided)[0])]  # the first limit is from before the first sample
        sample = None
        for x in self.journal():
            if isinstance(x, r.Sampled):
                sample = x
            elif isinstance(x, r.Decided) and sample is not None:
                steps.append((sample, x))
        samples: list[r.Sampled] = [s for s, _ in steps if s is not None]
        for (_, before), (seen, after) in pairwise(steps):
            assert min(LAW.floor, most) <= after.agents <= most
            if after.agents == before.agents:
                continue
            told = f"{before.agents} -> {after.agents} ({after.reason}) on {seen}"
            assert not seen.stale, told
            assert seen.locked is not None, told
            if after.agents > before.agents:
                assert seen.locked < LAW.u_low, told
                assert seen.prompt_tokens or seen.running_requests, told
                assert after.agents - before.agents <= LAW.alpha, told
            else:
                assert seen.locked > LAW.u_high, told
                assert min(hit_rates(samples, seen.t)) < LAW.h_thresh, told
                assert after.agents >= int(before.agents * LAW.beta), told

    def limits(self, start: float = 0.0, end: float = float("inf")) -> list[int]:
        """The limits on agents decided in that time."""
        return [x.agents for x in self.of(r.Decided) if start <= x.t < end]

    def check_hold(self, start: float, end: float) -> None:
        """The limit was not moved in that time: nothing was known then."""
        before = self.limits(end=start)[-1]
        assert set(self.limits(start, end)) <= {before}, "it was moved without evidence"

    def check_recovery(self, start: float, end: float) -> None:
        """The limit held through the fault, and at the end of the run it is at least half of what it was before.

        Half, since the law may take an empty cache for pressure and cut once, which is soon grown back. Less would mean that it
        went on shrinking on the fault's account when the fault was over. For a pool that was healthy before.
        """
        self.check_hold(start, end)
        after = self.limits(end)
        assert after, "nothing was decided after the fault"
        assert after[-1] >= self.limits(end=start)[-1] // 2


def hit_rates(samples: list[r.Sampled], end: float) -> Iterator[float]:
    """Cached / prompt tokens up to `end`, over the law's window and over those that end half a sample sooner and later.

    The times in the journal are not quite those the law reckons with, so a sample at the window's edge may be in it or not.
    """
    for edge_s in (-0.5, 0.0, 0.5):
        start = end - LAW.h_window_s + edge_s
        told = [(s.prompt_tokens, s.cached_tokens) for s in samples if start < s.t <= end and s.cached_tokens is not None]
        if prompt := sum(prompt for prompt, _ in told):
            yield sum(cached for _, cached in told) / prompt


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
        return bytes(reply.read())


def chat(url: str, messages: list[dict[str, str]]) -> dict[str, Any]:
    body = {"model": "tiny", "messages": messages, "max_tokens": 32, "ignore_eos": True, "temperature": 0}
    answer: dict[str, Any] = json.loads(ask(url, "/v1/chat/completions", body))
    return answer
