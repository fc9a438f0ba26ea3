"""How long results take, and how much memory, for a run of many rollouts: `python tools/bench/results_rows.py`.

Writes a journal of `--rollouts` rollouts with `--steps` steps each, interleaved as they would be with 256 agents active,
and then, in a process of its own, the results from it. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
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
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter
from concur_batch.results.writer import write_results

ACTIVE = 256


def rollout(number: int, steps: int, text: str) -> Iterator[r.Record]:
    """One rollout's records; each step asks for one tool."""
    name, t = f"task-{number:07}#0", number / 100
    base: dict[str, Any] = {"rollout": name, "engine": "sim"}
    prompt = [{"role": "user", "content": text}]
    yield r.RolloutStarted(t=t, task=name[:-2], k=0, index=number, seed=number, model="m", messages=prompt, **base)
    kept = 1
    new: list[Any] = []
    for step in range(1, steps + 1):
        n, call = 2 * step - 1, f"call_{step}"
        function = {"name": "read_file", "arguments": '{"path": "a.txt"}'}
        message = {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]}
        yield r.ReplyReceived(
            t=t, step=step, n=n, hash="0" * 16, after=max(0, n - 2), base=kept, new=new, message=message, finish_reason="tool_calls",
            prompt_tokens=1000, completion_tokens=20, cached_tokens=900, history_tokens=900, missed_tokens=0, model_s=0.5, **base,
        )  # fmt: skip
        yield r.ToolStarted(t=t, rollout=name, step=step, n=n + 1, tool="read_file", hash="0" * 16, call_id=call)
        yield r.ToolFinished(t=t, rollout=name, step=step, n=n + 1, tool="read_file", output=text, seconds=0.1, call_id=call)
        kept, new = kept + len(new) + 1, [n + 1]
    yield r.RolloutFinished(t=t + 60, status="max_steps", n_steps=steps, prompt_tokens=1000 * steps, **base)


def write_journal(run_dir: Path, rollouts: int, steps: int, text: str) -> int:
    """Bytes written."""
    with closing(JournalWriter(run_dir)) as journal:
        journal.write(r.SegmentStarted(t=0.0, epoch=1.7e9, host="bench", pid=1, version="0"))
        journal.write(r.BatchLoaded(t=0.0, tasks=rollouts, rollouts=rollouts))
        numbers = iter(range(rollouts))
        lives = [rollout(n, steps, text) for _, n in zip(range(ACTIVE), numbers, strict=False)]
        while lives:
            for place in range(len(lives) - 1, -1, -1):
                record = next(lives[place], None)
                if record is not None:
                    journal.write(record)
                elif (number := next(numbers, None)) is not None:
                    lives[place] = rollout(number, steps, text)
                else:
                    lives.pop(place)
            journal.write(r.Sampled(t=1.0, engine="sim", locked=0.5))
            journal.write(r.Decided(t=1.0, engine="sim", agents=ACTIVE, reason="hold"))
        journal.write(r.SegmentFinished(t=2.0, cause="finished"))
    return sum(path.stat().st_size for path in run_dir.rglob("*.jsonl"))


def measure(run_dir: Path) -> dict[str, Any]:
    """Write the results in this process."""
    begun = time.perf_counter()
    results = write_results(run_dir, JournalReader(run_dir))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": results.rows, "seconds": round(seconds, 2), "peak_rss_mib": round(peak, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--text", type=int, default=500, help="bytes of the prompt and of each observation")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = write_journal(Path(folder), options.rollouts, options.steps, "x" * options.text)
        answer = subprocess.run(
            [sys.executable, __file__, "--measure", folder], check=True, capture_output=True, text=True
        ).stdout
        facts = {"rollouts": options.rollouts, "steps": options.steps, "journal_mb": round(size / 1e6, 1)}
        print(json.dumps(facts | json.loads(answer)))


if __name__ == "__main__":
    main()
