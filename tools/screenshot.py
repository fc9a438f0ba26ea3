"""Write the dashboard as an SVG picture: of a run directory at a chosen moment, or of an invented run (seeded).

    python tools/screenshot.py runs/first --at 40 --svg docs/dashboard.svg
    python tools/screenshot.py --invent 7 --size 80x24          # to the terminal

`--measure N` draws N times and prints the milliseconds one drawing takes.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from rich.console import Console, Group

from concur_batch import records as r
from concur_batch.dashboard.view import render
from concur_batch.journal.reader import JournalReader
from concur_batch.state import RunState, fold

ENGINE = "http://127.0.0.1:30000"
TOOLS = ("python", "shell", "read_file", "write_file")
ERROR = "shell: ended by its memory limit of 1024 MiB; ask for less or set tools.memory_mb"


def invented(seed: int, *, seconds: int, agents: int, rollouts: int) -> Iterator[r.Record]:
    """Records of a run that never was: a window that grows and is cut, agents that step, call tools, pause and end."""
    dice, pool = random.Random(seed), 4_000 * agents
    yield r.SegmentStarted(t=0.0, epoch=1_767_261_600.0, host="host", pid=1, version="0.1.0")
    yield r.BatchLoaded(t=0.1, tasks=rollouts, rollouts=rollouts, max_agents=1024)
    seen: dict[str, Any] = {
        "engine": ENGINE,
        "engine_kind": "sglang",
        "model": "Qwen/Qwen3-8B",
        "version": "0.5.9",
        "policy": "aimd",
    }
    yield r.EngineSeen(t=0.2, statistics="loads", capacity_tokens=pool, **seen)
    state, started, window = RunState(), 0, 8
    state.rollouts = rollouts
    for second in range(1, seconds + 1):
        batch: list[r.Record] = []
        while len(state.live) - state.paused < min(window, agents) and started < rollouts:
            name = f"swe-{started:04}#0"
            fields: dict[str, Any] = {"task": name[:-2], "k": 0, "index": started, "seed": 0, "engine": ENGINE}
            state.apply(r.RolloutStarted(t=float(second), rollout=name, **fields))
            batch.append(r.RolloutStarted(t=float(second), rollout=name, **fields))
            started += 1
        batch.extend(_steps(dice, state, second, window))
        replies = [x for x in batch if isinstance(x, r.ReplyReceived)]
        for record in batch:
            if not isinstance(record, r.RolloutStarted):
                state.apply(record)
        context = sum(agent.context_tokens for agent in state.live.values() if not agent.paused)
        locked, pressure = min(0.97, context * 0.5 / pool), context / pool
        hit = max(0.15, 0.96 - max(0.0, pressure - 0.9) * 2) + dice.uniform(-0.03, 0.03)
        prompt = sum(x.prompt_tokens for x in replies)
        batch.append(
            r.Sampled(
                t=second + 0.5,
                engine=ENGINE,
                capacity_tokens=pool,
                locked=locked,
                resident=min(1.0, pressure * 1.1),
                running_requests=sum(a.phase == "model" for a in state.live.values()),
                queued_requests=max(0, int((pressure - 1) * 20)),
                prompt_tokens=prompt,
                cached_tokens=int(prompt * hit),
                generated_tokens=sum(x.completion_tokens for x in replies),
                history_tokens=prompt,
                missed_tokens=int(prompt * max(0.0, 0.97 - hit)),
                active=len(state.live) - state.paused,
                waiting=state.paused + state.unstarted,
                steps=len(replies),
                lag_s=dice.uniform(0.001, 0.006),
            )
        )
        reason = "hold"
        if second % 4 == 0 and pressure > 0.95:
            window, reason = max(2, window // 2), "cut"
        elif second % 2 == 0 and pressure < 0.7 and window < agents:
            window, reason = min(agents, window + max(2, window // 8)), "grow"
        batch.append(r.Decided(t=second + 0.5, engine=ENGINE, agents=window, reason=reason))
        yield from batch


def _steps(dice: random.Random, state: RunState, second: int, window: int) -> Iterator[r.Record]:
    """What the live agents do in one second."""
    active = len(state.live) - state.paused
    for name, agent in list(state.live.items()):
        at = second + dice.random() * 0.4
        if agent.phase == "paused":
            if active < window:
                active += 1
                yield r.RolloutReturned(t=at, rollout=name, engine=ENGINE, step=agent.step, paused_s=at - agent.since)
        elif agent.phase == "tool":
            if dice.random() < 0.5:
                n, tool = next(iter(agent.tools.items()))
                yield r.ToolFinished(t=at, rollout=name, step=agent.step, n=n, tool=tool, output="", seconds=at - agent.since)
        elif dice.random() < 0.25:
            step = agent.step + 1
            prompt = agent.context_tokens + dice.randint(300, 900)
            tokens: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": dice.randint(60, 300)}
            call: dict[str, Any] = {"n": 2 * step, "hash": "", "base": 0, "new": [], "message": {}, "finish_reason": "tool_calls"}
            yield r.ReplyReceived(t=at, rollout=name, engine=ENGINE, step=step, **tokens, **call)
            if dice.random() < step / 60:
                error = r.ErrorInfo(error_class="sandbox", message=ERROR) if dice.random() < 0.05 else None
                status = "error" if error else "completed" if dice.random() < 0.95 else "max_steps"
                yield r.RolloutFinished(t=at, rollout=name, engine=ENGINE, status=status, error=error)
            elif active > window:
                active -= 1
                yield r.RolloutPaused(t=at, rollout=name, engine=ENGINE, step=step, reason="limit")
            else:
                yield r.ToolStarted(t=at, rollout=name, step=step, n=2 * step + 1, tool=dice.choice(TOOLS), hash="")


def until(stream: Iterable[r.Record], at: float | None) -> RunState:
    """The state at that second of the first segment that lasts so long; at the end where none is given."""
    return fold(stream if at is None else takewhile(lambda record: record.t <= at, stream))


def main() -> int:
    """Read the options, draw."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", nargs="?", type=Path, help="run directory")
    options.add_argument("--invent", type=int, default=1, metavar="SEED", help="without a run directory: seed of an invented run")
    options.add_argument("--agents", type=int, default=96, help="largest window of the invented run")
    options.add_argument("--at", type=float, help="seconds after the start of the run")
    options.add_argument("--size", default="100x30", help="columns x lines")
    options.add_argument("--title", default="", help="shown at the top, as the run's name")
    options.add_argument("--svg", type=Path, help="write the picture here instead of to the terminal")
    options.add_argument("--measure", type=int, default=0, metavar="N", help="draw so often and print the mean milliseconds")
    given = options.parse_args()
    width, height = map(int, given.size.split("x"))
    if given.run is not None:
        stream: Iterable[r.Record] = JournalReader(given.run).records()
    else:
        stream = invented(given.invent, seconds=int(given.at or 150), agents=given.agents, rollouts=4 * given.agents)
    state = until(stream, given.at)
    now = state.time if given.at is None else given.at
    console = Console(width=width, height=height, record=given.svg is not None, file=io.StringIO() if given.svg else None)

    def picture() -> Group:
        ascii_only = given.svg is None and console.options.ascii_only
        return render(state, now, width, height, title=given.title, ascii_only=ascii_only)

    if given.measure:
        sink = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        began = time.process_time()
        for _ in range(given.measure):
            sink.print(picture())
        spent = (time.process_time() - began) / given.measure
        print(f"{len(state.live)} live agents, {given.size}: {spent * 1e3:.2f} ms of CPU per drawing")
        return 0
    console.print(picture())
    if given.svg is not None:
        picture_text = console.export_svg(title="concur run")
        given.svg.write_text(re.sub(r"@font-face\s*{[^}]*}\s*", "", picture_text), encoding="utf-8")  # no font from elsewhere
    return 0


if __name__ == "__main__":
    sys.exit(main())
