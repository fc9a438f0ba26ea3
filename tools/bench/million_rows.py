"""Memory and speed of checking and starting a large job: `python tools/bench/million_rows.py [--rows N] [--format jsonl|parquet]`.

`--hints` gives every row expected tokens, by which long ones start earlier; `--hints late` only the last row, for which
all others are read again; `--hints earlier` none, but an earlier run knows each task.

Writes a job into a temporary folder, then lets a fresh process check every row (with the index that a run keeps), take the
first 1,024 tasks and print its peak resident memory. The bound is 400 MB; a process above it makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STARTED = 1024  # as many agents as may be live at once by default
BOUND_MB = 400
CHUNK_ROWS = 20_000


def rows(count: int, hints: str | None) -> Iterator[dict]:
    for i in range(count):
        row = {
            "id": f"task-{i:07d}",
            "messages": [
                {"role": "system", "content": "You are a careful assistant. Use the tools, then answer in one sentence."},
                {
                    "role": "user",
                    "content": f"How many lines of part-{i % 977}.log mention order {i * 7919 % 1_000_003}? Count each once.",
                },
            ],
            "tools": ["shell", "read_file"],
            "sampling": {"temperature": 0.7, "max_tokens": 512},
            "limits": {"max_steps": 12},
            "metadata": {"group": i % 97, "origin": "generated"},
        }
        if hints == "all" or (hints == "late" and i == count - 1):
            row["expected_tokens"] = expected(i)
        yield row


def expected(i: int) -> int:
    return 2000 + i * 7919 % 38_000


def write_job(path: Path, count: int, hints: str | None) -> None:
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(count, hints))
        return
    import pyarrow as pa  # noqa: PLC0415 - not loaded into the measured process by this file
    import pyarrow.parquet as pq  # noqa: PLC0415

    stream = rows(count, hints)
    writer = None
    while chunk := [row for _, row in zip(range(CHUNK_ROWS), stream, strict=False)]:
        table = pa.Table.from_pylist(chunk)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def write_earlier(path: Path, count: int) -> None:
    """The columns of an earlier run's results that tell how long its tasks became."""
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema([("id", pa.string()), ("status", pa.string()), ("context_tokens", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, count, CHUNK_ROWS):
            numbers = range(first, min(first + CHUNK_ROWS, count))
            ids, tokens = [f"task-{i:07d}" for i in numbers], [expected(i) for i in numbers]
            writer.write_table(pa.table([ids, ["completed"] * len(ids), tokens], schema=schema))


def check(path: Path, shuffle: int | None, hints: str | None) -> None:
    """The measured process."""
    from concur_batch.jobs.hints import EarlierContexts, Hints  # noqa: PLC0415 - only the measured process pays for it
    from concur_batch.jobs.load import LoadOptions, load  # noqa: PLC0415

    begun, cpu = time.perf_counter(), time.process_time()
    earlier = None
    if hints == "earlier":
        from concur_batch.results.contexts import contexts  # noqa: PLC0415 - as in a run, only where there is a history

        earlier = EarlierContexts(contexts(path.parent))
    options = LoadOptions(
        known_tools=frozenset({"shell", "read_file"}),
        shuffle=shuffle,
        hints=Hints(earlier=earlier),
        long_in_time=hints is not None,
    )
    with load([str(path)], options, spool=path.parent, with_index=True) as job:
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        checked = peak_mb()
        begun = time.perf_counter()
        taken = sum(1 for _ in zip(range(STARTED), job, strict=False))
        started = time.perf_counter() - begun
        measured = {"tasks": job.tasks, "wall_s": wall, "cpu_s": cpu, "taken": taken, "start_s": started}
        print(json.dumps({**measured, "checked_mb": checked, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """The process's largest resident set so far, MB of 10^6 bytes. Not ru_maxrss, which a child inherits from its parent."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this program needs Linux: the kernel does not tell VmHWM")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=["jsonl", "parquet"], default="jsonl")
    parser.add_argument("--shuffle", type=int, metavar="SEED")
    parser.add_argument("--hints", nargs="?", choices=["all", "late", "earlier"], const="all")
    parser.add_argument("--check", type=Path, metavar="FILE", help="only measure this file, in this process")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check, arguments.shuffle, arguments.hints)
        return 0
    with tempfile.TemporaryDirectory(prefix="million-rows-") as folder:
        path = Path(folder) / f"jobs.{arguments.format}"
        write_job(path, arguments.rows, arguments.hints)
        if arguments.hints == "earlier":
            write_earlier(Path(folder) / "results.parquet", arguments.rows)
        command = [sys.executable, __file__, "--check", str(path)]
        if arguments.shuffle is not None:
            command += ["--shuffle", str(arguments.shuffle)]
        if arguments.hints is not None:
            command += ["--hints", arguments.hints]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800).stdout)
        size = path.stat().st_size / 1e6
    order = "" if arguments.shuffle is None else ", shuffled"
    order += "" if arguments.hints is None else f", long ones in time, {arguments.hints} hints"
    print(f"{arguments.format}, {result['tasks']:,} rows, {size:.0f} MB{order}")
    print(
        f"checked   {result['wall_s']:7.1f} s  {result['tasks'] / result['wall_s']:9,.0f} rows/s  ({result['cpu_s']:.1f} s of CPU)"
    )
    print(f"started   {result['start_s']:7.2f} s  the first {result['taken']:,} tasks")
    print(f"memory    {result['peak_mb']:7.0f} MB at most ({result['checked_mb']:.0f} MB after checking); bound {BOUND_MB} MB")
    return int(result["peak_mb"] > BOUND_MB)


if __name__ == "__main__":
    sys.exit(main())
