"""How long a report takes, how much memory, and how large the page is: `python tools/bench/report_page.py`.

Writes the journal of a run of `--rollouts` rollouts that never was, 256 at a time, some of which fail, and then, in a process of its
own, runs `concur report` on it. Prints a table, and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from concur_batch import records as r
from concur_batch.journal.writer import JournalWriter
from report import show

ACTIVE = 256
TOOLS = ("read_file", "write_file", "shell", "python", "search")
WORDS = Path(__file__).read_text(encoding="utf-8").split()


def rollout(number: int, steps: int, text: int, draw: random.Random) -> Iterator[r.Record]:
    """One rollout's records without their times; each step asks for one tool, one in fifty fails."""
    name = f"task-{number:07}#0"
    base: dict[str, Any] = {"t": 0.0, "rollout": name, "engine": "sim"}
    prompt = [{"role": "system", "content": prose(draw, text)}, {"role": "user", "content": prose(draw, text)}]
    yield r.RolloutStarted(task=name[:-2], k=0, index=number, seed=number, model="m", messages=prompt, **base)
    kept, context = 2, 800
    new: list[Any] = []
    for step in range(1, steps + 1):
        n, call, tool = 2 * step - 1, f"call_{step}", draw.choice(TOOLS)
        function = {"name": tool, "arguments": json.dumps({"command": prose(draw, text // 4)})}
        message = {"role": "assistant", "content": prose(draw, text // 4)}
        message["tool_calls"] = [{"id": call, "type": "function", "function": function}]
        context += draw.randrange(100, 900)
        yield r.ReplyReceived(
            step=step, n=n, hash="0" * 16, after=max(0, n - 2), base=kept, new=new, message=message, finish_reason="tool_calls",
            prompt_tokens=context, completion_tokens=80, cached_tokens=context * 9 // 10, history_tokens=context * 9 // 10,
            missed_tokens=draw.randrange(9), model_s=draw.random() * 4, **base,
        )  # fmt: skip
        yield r.ToolStarted(t=0.0, rollout=name, step=step, n=n + 1, tool=tool, hash="0" * 16, call_id=call)
        yield r.ToolFinished(
            t=0.0, rollout=name, step=step, n=n + 1, tool=tool, output=prose(draw, text), ok=draw.random() > 0.03,
            seconds=draw.expovariate(2), call_id=call,
        )  # fmt: skip
        if draw.random() < 0.02:
            yield r.RolloutPaused(step=step, reason="limit", **base)
            yield r.RolloutReturned(step=step, paused_s=3.0, **base)
        kept, new = kept + len(new) + 1, [n + 1]
    error = r.ErrorInfo(error_class="tool", message=prose(draw, 200)) if draw.random() < 0.02 else None
    status = "error" if error else "completed"
    yield r.RolloutFinished(status=status, error=error, n_steps=steps, prompt_tokens=context * steps // 2, wall_s=60.0, **base)


def prose(draw: random.Random, chars: int) -> str:
    """Words in a random order: text that shrinks about as much as text does."""
    return " ".join(draw.choices(WORDS, k=max(1, chars // 7)))


def write_run(run_dir: Path, rollouts: int, steps: int, text: int) -> int:
    """Bytes of journal written."""
    draw = random.Random(0)
    (run_dir / "config.json").write_text(json.dumps({"concur": "0", "jobs": ["jobs.jsonl"], "config": {}}))
    with closing(JournalWriter(run_dir)) as journal:
        journal.write(r.SegmentStarted(t=0.0, epoch=1.7e9, host="bench", pid=1, version="0"))
        journal.write(r.BatchLoaded(t=0.0, tasks=rollouts, rollouts=rollouts))
        journal.write(r.EngineSeen(t=0.0, engine="sim", engine_kind="sim", model="m", capacity_tokens=800_000, policy="aimd"))
        numbers = iter(range(rollouts))
        lives = [rollout(n, steps, text, draw) for _, n in zip(range(ACTIVE), numbers, strict=False)]
        now, window = 0.0, 64
        while lives:
            for place in range(len(lives) - 1, -1, -1):
                record = next(lives[place], None)
                if record is not None:
                    record.t = round(now + place / ACTIVE, 3)
                    journal.write(record)
                elif (number := next(numbers, None)) is not None:
                    lives[place] = rollout(number, steps, text, draw)
                else:
                    lives.pop(place)
            now += 1.0
            window = max(8, window + draw.choice((-8, 0, 0, 2, 4)))
            share = draw.random() / 2
            journal.write(
                r.Sampled(
                    t=now, engine="sim", capacity_tokens=800_000, locked=share, resident=share + 0.4, running_requests=40,
                    queued_requests=3, prefill_tokens=9_000, prompt_tokens=90_000, cached_tokens=80_000, generated_tokens=4_000,
                    history_tokens=80_000, missed_tokens=300, active=len(lives), waiting=rollouts // 2,
                )
            )  # fmt: skip
            journal.write(r.Decided(t=now, engine="sim", agents=window, reason="grow"))
        journal.write(r.SegmentFinished(t=now, cause="finished"))
    return sum(path.stat().st_size for path in run_dir.rglob("*.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--text", type=int, default=500, help="characters of the prompt and of each observation")
    parser.add_argument("--keep", type=Path, help="a folder for the run and its page, to look at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        journal = write_run(folder, options.rollouts, options.steps, options.text)
        before = time.perf_counter()
        command = [sys.executable, "-m", "concur_batch.cli.main", "report", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - before
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (folder / "report.html").stat().st_size
    figures = {
        "rollouts": options.rollouts,
        "steps": options.steps,
        "journal_mb": round(journal / 1e6, 1),
        "seconds": round(seconds, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_mib": round(used.ru_maxrss / 1024, 1),
        "page_mb": round(size / 1e6, 2),
    }
    show(
        "report",
        ["rollouts", "steps each", "journal, MB", "seconds", "CPU, s", "peak memory, MiB", "page, MB"],
        [list(figures.values())],
        figures,
    )


if __name__ == "__main__":
    main()
