#!/usr/bin/env python3
"""Whether the simulated engine decides as the real one: batch by batch, for the same arrivals (docs/fidelity.md, "Decisions").

    decisions.py run [SCENARIO ...]     starts the real server for each, gives it load, and compares
    decisions.py compare FILE ...       compares with recordings that `run --keep FOLDER` has left

Exit code 1: fewer than --least of the prefill batches are identical.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import aiohttp
from cpu_server import serving
from decisions_load import put
from decisions_recording import compact, read
from decisions_replay import Comparison, compare, replayed
from decisions_scenarios import SCENARIOS, Scenario

HERE = Path(__file__).parent
IDLE = '{"idle":true}\n'
PATIENCE_S = 20.0  # for the scheduler to become idle
LONGEST_S = 300.0  # a server's life


def recorded_server(scenario: Scenario, raw: Path, log: Path) -> AbstractContextManager[str]:
    """The URL of a server that writes down its decisions."""
    return serving(
        log,
        LONGEST_S,
        ["--pool", str(scenario.pool_tokens), *shlex.split(scenario.flags)],
        {"PYTHONPATH": str(HERE / "decisions_hook"), "CONCUR_DECISIONS": str(raw)},
    )


def record(scenario: Scenario, path: Path) -> None:
    """Run it and keep what the server did in `path`."""
    with tempfile.TemporaryDirectory() as folder:
        raw, log = Path(folder, "decisions.jsonl"), Path(folder, "server.log")
        with recorded_server(scenario, raw, log) as url:
            try:
                asyncio.run(asyncio.wait_for(put(url, scenario.load), LONGEST_S))
            except aiohttp.ClientError as problem:
                raise SystemExit(
                    f"decisions.py: {problem!r}; the server's log ends with:\n{log.read_text()[-2000:]}"
                ) from problem
            end = time.monotonic() + PATIENCE_S
            while not _tail(raw).endswith(IDLE) and time.monotonic() < end:  # with that line it has written all others
                time.sleep(0.2)
        compact(raw, path)


def _tail(raw: Path) -> str:
    with raw.open("rb") as file:
        file.seek(max(0, raw.stat().st_size - len(IDLE)))
        return file.read().decode()


def compared(path: Path) -> Comparison:
    """One recording with the simulated engine."""
    recording = read(path)
    return compare(recording, replayed(recording))


COLUMNS = {
    "requests": "requests",
    "queued": "queued",
    "iterations": "iterations",
    "prefill_batches": "prefill batches",
    "evicted_tokens": "evicted tokens",
    "retractions": "retractions",
    "prefill_identical": "identical prefill batches",
    "pool_identical": "identical pool",
    "decode_identical": "identical decode steps",
    "retractions_identical": "identical retractions",
    "ends_identical": "identical ends",
}


def table(found: dict[str, Comparison]) -> str:
    """As Markdown."""
    lines = ["| scenario | " + " | ".join(COLUMNS.values()) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for name, comparison in found.items():
        cells = (getattr(comparison, column) for column in COLUMNS)
        lines.append(f"| {name} | " + " | ".join(f"{c:.1%}" if isinstance(c, float) else f"{c:,}" for c in cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="; ".join(f"{name}: {scenario.what}" for name, scenario in SCENARIOS.items()))
    run.add_argument("scenarios", nargs="*", default=list(SCENARIOS), metavar="SCENARIO", help=", ".join(SCENARIOS))
    run.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the recordings")
    run.add_argument("--conversations", type=int, help="instead of the scenario's own number")
    files = commands.add_parser("compare")
    files.add_argument("files", nargs="+", type=Path)
    for command in (run, files):
        command.add_argument("--least", type=float, default=0.98, help="share of identical prefill batches (default 0.98)")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def main() -> int:
    ours = arguments()
    if ours.command == "compare":
        found = {path.stem.removesuffix(".jsonl"): compared(path) for path in ours.files}
    else:
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            keep = ours.keep or Path(folder)
            keep.mkdir(parents=True, exist_ok=True)
            for name in ours.scenarios:
                scenario = SCENARIOS[name]
                if ours.conversations:
                    scenario = replace(scenario, load=replace(scenario.load, conversations=ours.conversations))
                path = keep / f"{name}.jsonl.gz"
                record(scenario, path)
                found[name] = compared(path)
                print(name, found[name], file=sys.stderr, flush=True)
    print(table(found))
    if ours.json:
        ours.json.write_text(json.dumps({name: asdict(comparison) for name, comparison in found.items()}, indent=1) + "\n")
    return int(any(comparison.prefill_identical < ours.least for comparison in found.values()))


if __name__ == "__main__":
    sys.exit(main())
