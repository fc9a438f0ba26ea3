"""CPU that `concur --help` takes above `python -c "import typer, rich"`, and the heavy modules it must not import."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import processes
import program

import report

FORBIDDEN = ("pyarrow", "openai")
UNWELCOME = ("pydantic", "aiohttp", "msgspec", "numpy", "prometheus_client", "jsonschema", "tenacity", "uvloop", "asyncio")


def cpu_seconds(argv: Sequence[str]) -> float:
    """User + system time of one run."""
    with subprocess.Popen(list(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=processes.environment()) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with exit code {child.returncode}")
    return used.ru_utime + used.ru_stime


def imports(argv: Sequence[str]) -> dict[str, int]:
    """Top-level packages imported, with the microseconds their own code took, by `-X importtime`."""
    done = subprocess.run([sys.executable, "-X", "importtime", *argv], capture_output=True, text=True, timeout=60, check=True)
    seen: dict[str, int] = {}
    for line in done.stderr.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and len(fields) == 3 and fields[0].strip().isdigit():
            package = fields[2].strip().split(".")[0]
            seen[package] = seen.get(package, 0) + int(fields[0])
    return seen


def main() -> None:
    """Measure, print, and fail on a forbidden import or above --at-most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--at-most", type=float, help="fail above so many seconds of CPU over the import of typer and rich")
    options = parser.parse_args()
    concur = program.command()
    base, ours = [], []
    for _ in range(options.repeats):  # taking turns, so that a busy moment falls on both
        base.append(cpu_seconds([sys.executable, "-c", "import typer, rich"]))
        ours.append(cpu_seconds([concur, "--help"]))
    above = statistics.median(ours) - statistics.median(base)
    seen = imports([str(Path(concur)), "--help"])
    forbidden, unwelcome = ([name for name in names if name in seen] for names in (FORBIDDEN, UNWELCOME))
    rows: list[list[object]] = [
        ["import typer, rich", f"{statistics.median(base):.3f}", f"{min(base):.3f}-{max(base):.3f}"],
        ["concur --help", f"{statistics.median(ours):.3f}", f"{min(ours):.3f}-{max(ours):.3f}"],
        ["above", f"{above:.3f}", ""],
    ]
    slowest = sorted(seen.items(), key=lambda item: -item[1])[:8]
    figures = {"above_s": round(above, 4), "base_s": round(statistics.median(base), 4), "forbidden": forbidden}
    print("imported packages that cost most, ms:", ", ".join(f"{name} {us / 1000:.0f}" for name, us in slowest))
    print("forbidden imports:", ", ".join(forbidden) or "none", "· other heavy ones:", ", ".join(unwelcome) or "none")
    report.show("startup", ["what", "CPU s", "range"], rows, figures | {"also_imported": unwelcome})
    if forbidden:
        raise SystemExit(f"concur --help imports {', '.join(forbidden)}")
    if options.at_most is not None and above > options.at_most:
        raise SystemExit(f"{above:.3f} s above the import of typer and rich, where {options.at_most} s are allowed")


if __name__ == "__main__":
    main()
