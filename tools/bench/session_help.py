"""SGLang's own help for agents, with and without: sessions that are closed, and priority by age. Uneven tool times.

    tools/sglang_cpu/serve --port 31999 --chunked-prefill-size 4096 --enable-session-radix-cache --enable-priority-scheduling
    python tools/bench/session_help.py --engine http://127.0.0.1:31999 --cells sessions:8,priority:8,priority:12 --seeds 3

The server's flags are the same on both sides; `engine.sessions` and `engine.priority` make the difference. Every run is a whole
`concur run` with a fixed window, from an empty cache; off and on take turns, so that a machine whose speed drifts favours neither.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import session_help_agent as load
from program import BENCH, command, journal
from served_run import counted, flush, metrics

from concur_batch import records as r

SIM = "sim"
AGENT = BENCH / "session_help_agent.py"
HEADING = "| help | window | cached share, turns 2+ | median | computed again, tokens | evicted, tokens |\n|" + " --- |" * 6


def run(url: str, used: str, window: int, seed: int, tasks: int, folder: Path) -> dict[str, Any]:
    """One batch with the help `used` (sessions, priority, or none), the other off."""
    before = {}
    if url != SIM:
        flush(url)
        before = metrics(url)
    folder.mkdir()
    argv = _simulated(folder, seed, tasks) if url == SIM else _served(folder, url, tasks)
    argv += ["--controller", f"fixed:{window}", "--set", f"run.seed={seed}", "--out", str(folder / "run")]
    for help_ in ("sessions", "priority"):
        argv += ["--set", f"engine.{help_}={str(help_ == used).lower()}"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        raise SystemExit(f"concur run ended with code {ended.returncode}:\n{ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    records = list(journal(folder / "run"))
    seen = next(x for x in records if isinstance(x, r.EngineSeen))
    if (seen.sessions, seen.priority) != (used == "sessions", used == "priority"):
        raise SystemExit(f"{url} was not used as asked: sessions {seen.sessions}, priority {seen.priority}")
    replies = [x for x in records if isinstance(x, r.ReplyReceived)]
    later = [x for x in replies if x.step > 1]
    return {
        "used": used,
        "window": window,
        "seed": seed,
        "cached_share": sum(x.cached_tokens or 0 for x in later) / sum(x.prompt_tokens for x in later),
        "missed_tokens": sum(x.missed_tokens or 0 for x in replies),
        "steps": len(replies),
        "wall_s": max(x.t for x in replies),
        "evicted_tokens": sum(x.evicted_tokens or 0 for x in records if isinstance(x, r.Sampled)),
        **({} if url == SIM else counted(before, metrics(url))),
    }


def _served(folder: Path, url: str, tasks: int) -> list[str]:
    job = folder / "job.jsonl"
    job.write_text("".join(json.dumps({"id": f"t{i:02d}", "prompt": "talk"}) + "\n" for i in range(tasks)))
    return [command(), "run", str(job), "--engine", url, "--agent", f"{AGENT}:walk", "--no-live"]


def _simulated(folder: Path, seed: int, tasks: int) -> list[str]:
    """The same load as a trace, on a simulated server with the same pool and flags."""
    trace, turns = folder / "trace.jsonl", load.TURNS - 1
    rows = [
        {
            "input_prompt_length": load.FIRST_CHARS,
            "shared_prefix_length": 0,
            "num_turns": turns,
            "assistant_response_length": [load.REPLY_TOKENS] * turns,
            "tool_call_output_length": [load.MORE_CHARS] * turns,
            "tool_call_latency": [load.pause_s(random.Random(f"t{i:02d}/{seed}/{turn}")) for turn in range(turns)],
            "final_assistant_response_length": load.REPLY_TOKENS,
        }
        for i in range(tasks)
    ]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = [command(), "simulate", str(trace), "--pool-tokens", "20000", "--set", "sim.chunked_prefill_size=4096"]
    return [*argv, "--set", "sim.session_cache=true", "--set", "sim.priority_scheduling=true"]


def row(runs: list[dict[str, Any]], name: str) -> str:
    """The runs of one setting, in the order of their seeds."""

    def told(key: str) -> str:
        return " / ".join(f"{round(run[key] or 0):,}" for run in runs)

    shares = [run["cached_share"] for run in runs]
    each = " / ".join(f"{share:.3f}" for share in shares)
    cells = (name, runs[0]["window"], each, f"{statistics.median(shares):.3f}", told("missed_tokens"), told("evicted_tokens"))
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    """Run all cells, and print a Markdown table after each, so that an early end loses nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--engine", required=True, metavar="URL", help="a server with both flags, or sim: the same in virtual time"
    )
    parser.add_argument("--cells", default="sessions:8,priority:8,priority:12", metavar="HELP:WINDOW,...")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every run is noted at once")
    options = parser.parse_args()
    off: dict[tuple[int, int], dict[str, Any]] = {}  # window, seed: the same run serves all cells of that window
    lines = []
    with tempfile.TemporaryDirectory(prefix="session-help-") as scratch:
        for cell in options.cells.split(","):
            used, window = cell.split(":")[0], int(cell.split(":")[1])
            runs: dict[str, list[dict[str, Any]]] = {"none": [], used: []}
            for seed in range(options.seeds):
                for what in ("none", used):
                    known = off.get((window, seed)) if what == "none" else None
                    folder = Path(scratch) / f"{what}-{window}-{seed}"
                    found = known or run(options.engine, what, window, seed, options.tasks, folder)
                    if what == "none":
                        off[window, seed] = found
                    runs[what].append(found)
                    if options.json is not None and known is None:
                        with options.json.open("a") as log:
                            log.write(json.dumps(found) + "\n")
            lines += [row(runs["none"], "none"), row(runs[used], used)]
            print("\n".join([HEADING, *dict.fromkeys(lines)]), flush=True)


if __name__ == "__main__":
    main()
