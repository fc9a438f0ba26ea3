"""The program under measurement: its command line, job files for it, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from concur_batch import records as r

BENCH = Path(__file__).parent
NOOP_TOOLS = BENCH / "noop_tools.py"
PARAGRAPH = "Agents read, act and look at what came of it; every word of this stands for one token or so. "


def command() -> str:
    """The `concur` of this interpreter's environment."""
    beside = Path(sys.executable).with_name("concur")
    found = str(beside) if beside.exists() else shutil.which("concur")
    if not found:
        raise SystemExit("concur is not installed in this environment: pip install -e '.[dev]'")
    return found


def run_argv(job: Path, url: str, out: Path, *, tools: Path = NOOP_TOOLS, max_agents: int = 256) -> list[str]:
    """`concur run` without display and without a controller."""
    argv = [command(), "run", str(job), "--engine", url, "--tools", str(tools), "--out", str(out)]
    return [*argv, "--no-live", "--max-agents", str(max_agents), "--controller", "off"]


def resume_argv(out: Path) -> list[str]:
    """`concur resume`: all else is in the run directory."""
    return [command(), "resume", str(out), "--no-live"]


def write_job(path: Path, *, tasks: int, messages: int = 1, message_bytes: int = 200) -> None:
    """One task per line, each a conversation of `messages` messages of `message_bytes` bytes, written one by one."""
    filler = (PARAGRAPH * (message_bytes // len(PARAGRAPH) + 1))[:message_bytes]
    with path.open("w", encoding="utf-8") as lines:
        for index in range(tasks):
            opening = f"This is conversation-{index:06d}. "
            history = [{"role": "user", "content": opening + filler[len(opening) :]}]
            history += [{"role": "user" if k % 2 else "assistant", "content": filler} for k in range(messages - 1)]
            lines.write(json.dumps({"id": f"t{index:06d}", "messages": history}) + "\n")


def results(out: Path) -> list[dict[str, Any]]:
    """The rows of results.parquet: id, rollout, status, n_steps."""
    import pyarrow.parquet as pq  # noqa: PLC0415  a heavy import, not needed for --help

    rows: list[dict[str, Any]] = pq.read_table(
        out / "results.parquet", columns=["id", "rollout", "status", "n_steps"]
    ).to_pylist()
    return rows


def steps_done(out: Path, tasks: int) -> int:
    """Steps over all results; raises SystemExit unless there is one completed result per task."""
    rows = results(out)
    completed = sum(row["status"] == "completed" for row in rows)
    if len(rows) != tasks or completed != tasks:
        raise SystemExit(f"{out}: {len(rows)} results, {completed} completed, where {tasks} tasks were given")
    return sum(row["n_steps"] for row in rows)


def segments(out: Path) -> list[Path]:
    """The journal's segments in the order they were written."""
    return sorted((out / "journal").glob("*.jsonl"))


def journal(out: Path) -> Iterator[r.AnyRecord]:
    """All records in order; a torn last line of a segment is left out, as a reader of a killed run must."""
    for segment in segments(out):
        with segment.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield r.decoder.decode(line)
