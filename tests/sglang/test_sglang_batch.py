"""A batch against the real SGLang server, through the whole program, with the server killed in mid-batch."""

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq
import pytest

from concur_batch import records as r

pytestmark = pytest.mark.sglang

AGENT = Path(__file__).with_name("batch_agent.py")
TASKS, STEPS = 12, 9
POOL_TOKENS = 20_000
RUN_S = 400  # far above what the batch takes on two cores; ends a run that hangs


def until(fact: Callable[[], bool], seconds: float, run: subprocess.Popen[bytes], said: Path) -> None:
    """Wait for a fact about processes of the real world, which only shows by looking; fail when the run ends before it."""
    end = time.monotonic() + seconds
    while not fact():
        assert run.poll() is None, f"the run ended early, with code {run.returncode}:\n{said.read_text()[-3000:]}"
        assert time.monotonic() < end, f"not within {seconds} s; the run said:\n{said.read_text()[-3000:]}"
        time.sleep(0.1)


def journal(out: Path) -> Iterator[r.Record]:
    """All whole lines of the journal, also beside a live run."""
    for segment in sorted((out / "journal").glob("*.jsonl")):
        for line in segment.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield r.decoder.decode(line)


R = TypeVar("R", bound=r.Record)


def of_kind(out: Path, kind: type[R]) -> list[R]:
    return [record for record in journal(out) if isinstance(record, kind)]


def ask(url: str, messages: list[dict[str, str]]) -> dict:
    body = {"model": "tiny", "messages": messages, "max_tokens": 32, "ignore_eos": True, "temperature": 0}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
        return json.load(reply)


def test_a_turn_more_finds_the_turns_before_in_the_cache(server):
    messages = [{"role": "user", "content": "Tell me what you see. " * 20}]
    first = ask(server.url, messages)
    messages += [first["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    second = ask(server.url, messages)

    seen = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == seen - 1  # the last token was never put into the cache


@pytest.fixture
def job(tmp_path) -> Path:
    rows = ({"id": f"walk-{i}", "prompt": f"Walk {i}: {'look around, then say what is there. ' * 40}"} for i in range(TASKS))
    path = tmp_path / "jobs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_batch_outlives_the_death_of_its_server(server, job, tmp_path):
    out, said = tmp_path / "run", tmp_path / "said.txt"
    command = [Path(sys.executable).with_name("concur"), "run", job, "--engine", server.url, "--agent", f"{AGENT}:walk"]
    command += ["--tools", AGENT, "--out", out, "--no-live", "--max-agents", str(TASKS), "--controller", "aimd"]
    with said.open("wb") as sink:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        try:
            until(lambda: len(of_kind(out, r.ReplyReceived)) >= TASKS * STEPS // 3, 120, run, said)
            server.kill()
            until(lambda: bool(of_kind(out, r.EngineLost)), 120, run, said)
            before = len(of_kind(out, r.ReplyReceived))
            server.start()
            code = run.wait(RUN_S)
        finally:
            run.kill()
            run.wait()
    assert code == 0, said.read_text()[-3000:]
    assert before < TASKS * STEPS, "the server was not killed in mid-batch"

    # Exactly one result per rollout, and every tool call took effect exactly once.
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"walk-{i}" for i in range(TASKS)]
    assert {row["status"] for row in rows} == {"completed"}
    assert {row["output"] for row in rows} == {" ".join(str(step) for step in range(1, STEPS + 1))}
    assert {row["n_steps"] for row in rows} == {STEPS}
    assert set(Counter(x.rollout for x in of_kind(out, r.RolloutFinished)).values()) == {1}

    # Model calls and journalled tool calls take turns.
    calls = defaultdict(dict)
    for x in journal(out):
        if isinstance(x, r.ReplyReceived | r.ToolFinished):
            assert x.n not in calls[x.rollout], f"call {x.n} of {x.rollout} has two records"
            calls[x.rollout][x.n] = type(x)
    turns = [r.ReplyReceived, r.ToolFinished] * STEPS + [r.ToolFinished]
    assert len(calls) == TASKS
    assert all([kind for _, kind in sorted(of_one.items())] == turns for of_one in calls.values())

    # The statistics are the server's own, and its cache was at work.
    samples = of_kind(out, r.Sampled)
    assert {x.capacity_tokens for x in samples if not x.stale} >= {POOL_TOKENS}
    assert max(x.locked or 0 for x in samples) > 0.5  # the pool was under pressure
    assert any(x.resident is not None and x.evicted_tokens is not None for x in samples)  # those are told by /metrics
    replies = of_kind(out, r.ReplyReceived)
    later = [x.cached_tokens for x in replies if x.step > 1]
    assert all(cached is not None for cached in later)
    assert any(cached > 0 for cached in later)
    assert len(set(later)) > STEPS

    # The engine went away and came back, once.
    assert len(of_kind(out, r.EngineLost)) == len(of_kind(out, r.EngineReturned)) == 1
