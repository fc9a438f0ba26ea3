"""What it costs to take a record into the state, which every run and `concur watch` do for each: `python tools/bench/state_apply.py`.

Prints nanoseconds of CPU per record of each kind, and of a mix as in a run; least of `--rounds`, without garbage collection.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from typing import Any

from concur_batch import records as r
from concur_batch.state import RunState

_AGENTS = 1_000
_NAMES = [f"task-{i}#0" for i in range(_AGENTS)]
_OPENED: list[r.Record] = [
    r.SegmentStarted(t=0, epoch=1.0, host="h", pid=1, version="0"),
    r.BatchLoaded(t=0, tasks=_AGENTS, rollouts=_AGENTS),
]


def _at(i: int) -> dict[str, Any]:
    return {"t": i / 100, "rollout": _NAMES[i % _AGENTS], "engine": "e"}


def started(i: int) -> list[r.Record]:
    """A rollout begins."""
    return [r.RolloutStarted(**_at(i), task="t", k=0, index=0, seed=0)]


def ended(i: int) -> list[r.Record]:
    """It begins, and ends."""
    return [*started(i), r.RolloutFinished(**_at(i), status="completed")]


def replied(i: int) -> list[r.Record]:
    """A model call."""
    call: dict[str, Any] = {"step": 1, "n": 1, "hash": "", "base": 0, "new": [], "message": {}, "finish_reason": ""}
    told = {"cached_tokens": 5_000, "history_tokens": 5_000, "missed_tokens": 10, "model_s": 1.5}
    return [r.ReplyReceived(**_at(i), **call, prompt_tokens=6_000, completion_tokens=200, **told)]


def called(i: int) -> list[r.Record]:
    """A tool call."""
    call: dict[str, Any] = {"t": i / 100, "rollout": _NAMES[i % _AGENTS], "step": 1, "n": 2, "tool": ("shell", "python")[i % 2]}
    return [r.ToolStarted(**call, hash=""), r.ToolFinished(**call, output="", seconds=0.5)]


def paused(i: int) -> list[r.Record]:
    """A pause, and a return."""
    return [r.RolloutPaused(**_at(i), step=1, reason="limit"), r.RolloutReturned(**_at(i), step=1, paused_s=1.0)]


def sampled(i: int) -> list[r.Record]:
    """An engine's interval, and a limit that stays."""
    shares = {"capacity_tokens": 100_000, "locked": 0.5, "resident": 0.9, "queued_requests": 3, "running_requests": 9}
    tokens = {"prompt_tokens": 9_000, "cached_tokens": 8_000, "steps": 3, "active": 50}
    return [
        r.Sampled(t=float(i), engine="e", **shares, **tokens),
        r.Decided(t=float(i), engine="e", tokens=90_000, reason="hold"),
    ]


def mixed(i: int) -> list[r.Record]:
    """As in a run: mostly model and tool calls."""
    rare = [*ended(i), *paused(i), *started(i)] if i % 20 == 0 else []
    return [*replied(i), *called(i), *rare, *(sampled(i // 100) if i % 100 == 0 else [])]


def cost(records: Sequence[r.Record], rounds: int) -> float:
    """Seconds per record."""
    least = float("inf")
    for _ in range(rounds):
        state = RunState()
        for record in [*_OPENED, *(x for i in range(_AGENTS) for x in started(i))]:
            state.apply(record)
        apply, began = state.apply, time.process_time()
        for record in records:
            apply(record)
        least = min(least, time.process_time() - began)
    return least / len(records)


def main() -> int:
    """Read the options, measure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--records", type=int, default=100_000)
    given = options.parse_args()
    gc.disable()
    for make in (replied, called, paused, ended, sampled, mixed):
        each = len(make(1))
        records = [record for i in range(given.records // each) for record in make(i)]
        print(f"{make.__name__:8} {cost(records, given.rounds) * 1e9:6.0f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
