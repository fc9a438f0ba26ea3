"""Whole pictures, compared with `screens/*.txt`. To renew them after a change that is meant, and look at what changed:

CONCUR_RENEW_SCREENS=1 pytest tests/dashboard/test_screens.py; git diff tests/dashboard/screens
"""

import io
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from concur_batch import records as r
from concur_batch.dashboard.view import render
from concur_batch.state import RunState, fold
from invented_run import Invented

SCREENS = Path(__file__).parent / "screens"
E = "http://127.0.0.1:30000"


def invented(seconds=150, *more, agents=96, rollouts=None, engines=1, policy="forecast"):
    run = Invented(1, agents=agents, rollouts=rollouts or 4 * agents, engines=engines, policy=policy)
    return [*run.records(seconds), *more]


def opened(rollouts=10, **seen):
    yield r.SegmentStarted(t=0, epoch=1_767_261_600.0, host="h", pid=1, version="0")
    yield r.BatchLoaded(t=0, tasks=rollouts, rollouts=rollouts, max_agents=1024)
    yield r.EngineSeen(t=0, engine=E, **({"engine_kind": "openai", "model": "m", "policy": "fixed:64"} | seen))


def plain_server():
    """No statistics, no `cached_tokens`, no pool size: vLLM's least."""
    note = "tells nothing about its cache: a fixed window of 64 agents is in force instead of forecast"
    yield from opened(note=note, policy="forecast")
    for k in range(4):
        yield r.RolloutStarted(t=0.1, rollout=f"task-{k}#0", engine=E, task=f"task-{k}", k=0, index=k, seed=0)
    for t in range(1, 20):
        yield r.Sampled(
            t=t, engine=E, prompt_tokens=500, generated_tokens=40, active=4, waiting=6, committed_tokens=9_000, steps=2
        )
        yield r.Decided(t=t, engine=E, agents=64, reason="no cache evidence: fixed:64")


def a_million():
    yield from opened(1_000_000, engine_kind="sglang", policy="aimd", capacity_tokens=4_000_000)
    for k in range(256):
        yield r.RolloutStarted(t=0.1, rollout=f"task-{k}#0", engine=E, task=f"task-{k}", k=0, index=k, seed=0)
    shares = {"capacity_tokens": 4_000_000, "locked": 0.5, "resident": 0.9, "committed_tokens": 3_000_000}
    for t in range(1, 9_000, 60):
        yield r.Sampled(t=t, engine=E, **shares, active=256, waiting=999_744, queued_requests=3, running_requests=99, steps=2)
        yield r.Decided(t=t, engine=E, agents=256, reason="hold")


def resumed():
    """A second segment has just begun; who was live waits."""
    first = list(invented(60))
    seen = [msgspec.structs.replace(x, t=0) for x in first if isinstance(x, r.EngineSeen)]
    return [*first, r.SegmentStarted(t=0, epoch=1_767_270_000.0, host="h", pid=2, version="0"), *seen]


def by_dns(engines):
    """Engines whose hosts have names, and one port."""
    for record in invented(20, engines=engines):
        name = getattr(record, "engine", None)
        if name is None:
            yield record
        else:
            host = int(name.split(":")[1].rpartition(".")[2])
            yield msgspec.structs.replace(record, engine=f"http://gpu-{host:02}.cluster.example.org:30000")


STEERED = r.Steered(t=150.2, held=True, factor=0.8)
LOST = r.EngineLost(t=149, engine="http://10.0.0.1:30000", message="Connection refused")
DRAIN = r.DrainStarted(t=150, cause="SIGINT")
DONE = r.SegmentFinished(t=150.5, cause="drained")

CASES = {
    "80x24": (invented, 80, 24, {"keys": True}),
    "120x35": (invented, 120, 35, {"keys": True}),
    "160x50": (invented, 160, 50, {"keys": True}),
    "60x15": (invented, 60, 15, {"keys": True}),
    "40x10": (invented, 40, 10, {}),
    "ascii": (lambda: invented(policy="aimd"), 80, 24, {"ascii_only": True}),
    "off": (lambda: invented(policy="off"), 80, 24, {}),
    "engines": (lambda: invented(engines=3), 120, 35, {}),
    "engines-40x10": (lambda: invented(engines=3), 40, 10, {}),
    "engines-60x15": (lambda: invented(engines=3), 60, 15, {}),
    "many-engines": (lambda: invented(20, engines=12), 80, 24, {}),
    "dns-engines": (lambda: by_dns(12), 80, 24, {}),
    "dns-engines-40x10": (lambda: by_dns(3), 40, 10, {}),
    "errors": (invented, 80, 24, {"view": "errors", "keys": True}),
    "no-errors": (lambda: invented(5), 60, 15, {"view": "errors"}),
    "steered": (lambda: invented(150, STEERED), 80, 24, {"keys": True}),
    "lost": (lambda: invented(150, LOST), 80, 24, {}),
    "draining": (lambda: invented(150, DRAIN), 60, 15, {"keys": True}),
    "ended": (lambda: invented(150, DONE), 80, 24, {"last": True}),
    "resumed": (resumed, 80, 24, {}),
    "plain-server": (plain_server, 80, 24, {}),
    "a-million": (a_million, 120, 35, {}),
    "nothing": (list, 80, 24, {}),
    "no-rollouts": (lambda: opened(0), 60, 15, {}),
}


def drawn(state: RunState, width, height, **options):
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(render(state, state.time + 0.5, width, height, title="runs/first", **options))
    return "".join(line.rstrip() + "\n" for line in console.export_text().splitlines())


@pytest.fixture(autouse=True)
def _clock():
    """The estimated end is told in local time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("name", CASES)
def test_the_screen_is_as_recorded(name):
    stream, width, height, options = CASES[name]
    text = drawn(fold(stream()), width, height, **options)
    assert len(text.splitlines()) <= height
    assert max(map(cell_len, text.splitlines()), default=0) <= width
    file = SCREENS / f"{name}.txt"
    if os.environ.get("CONCUR_RENEW_SCREENS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
@pytest.mark.parametrize("engines", [2, 3])
def test_no_pool_of_several_is_without_its_name(engines, width):
    state = fold(invented(20, engines=engines))
    for height in range(10, 60):
        text = drawn(state, width, height)
        assert text.count("KV pool") == text.count("engine   http://"), height


def test_no_screen_is_left_over():
    assert {file.stem for file in SCREENS.glob("*.txt")} == set(CASES)
