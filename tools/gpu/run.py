"""SGLang on this machine's GPU, Qwen3-8B with random weights, a trace replayed under several controllers; one table at the end.

    tools/gpu/run --wheels FOLDER --trace trace.jsonl --out FOLDER     on the GPU machine, without a network
    tools/gpu/run --cpu --trace trace.jsonl --out FOLDER               the same path with a small model, to try it
    tools/gpu/run --dry-run --trace trace.jsonl                        what would be run; starts nothing

It ends within --minutes whatever happens, and keeps and prints what was measured until then.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from install import CHECKOUT, HERE, StageError, environment, install, wheels_in

INSTALL_S = 180.0
NEEDED = ("msgspec", "pydantic", "prometheus_client")  # of the packages that concur needs; wheels bring them


def calls(text: str) -> tuple[int, int]:
    """`8-16`."""
    least, _, most = text.partition("-")
    return int(least), int(most or least)


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    trace = os.environ.get("CONCUR_TRACE")
    parser.add_argument("--wheels", type=Path, help="the folder that tools/gpu/wheels filled")
    parser.add_argument("--trace", type=Path, default=trace, help="JSON lines, docs/workloads.md; default: CONCUR_TRACE")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "build/gpu"), help="results and logs; default: $OUT")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir(), "concur-gpu"),
        help="installation, model, caches; kept for the next time",
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="all of it ends by then (default 9)")
    parser.add_argument("--agents", type=int, default=64, help="of the trace (default 64)")
    parser.add_argument(
        "--calls", type=calls, default=(8, 16), metavar="A-B", help="agents with so many model calls (default 8-16)"
    )
    parser.add_argument("--token-scale", type=float, default=0.25, help="all token counts times this (default 0.25)")
    parser.add_argument("--time-scale", type=float, default=0.1, help="all tool times times this (default 0.1)")
    parser.add_argument("--overflow", type=float, default=4.0, help="all contexts at their end over the pool (default 4)")
    parser.add_argument(
        "--controllers", help="with commas; default: off, fixed windows around what fits, aimd, the default policy"
    )
    parser.add_argument("--runs", type=int, default=1, help="rounds of all controllers, while the time lasts (default 1)")
    parser.add_argument("--server-flags", default="", metavar="TEXT", help="more for sglang.launch_server, as one text")
    parser.add_argument("--start-s", type=float, default=300.0, help="how long the server may take to start (default 300)")
    parser.add_argument("--cpu", action="store_true", help="the small model on a CPU (tools/sglang_cpu) in place of the GPU")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and the command lines")
    parser.add_argument("--machine", default="", help=argparse.SUPPRESS)  # what `machine` found
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)  # when all ends, by the system's monotonic clock
    given = parser.parse_args(argv)
    if given.trace is None:
        parser.error("--trace is missing, and CONCUR_TRACE is not set")
    if not given.trace.exists():
        parser.error(f"there is no file {given.trace}; --trace or CONCUR_TRACE names the trace")
    if not (given.wheels or given.cpu or given.dry_run):
        parser.error("--wheels is missing; --cpu and --dry-run do without")
    if given.until is None:
        given.until = time.monotonic() + 60 * given.minutes
    return given


def machine() -> str:
    """PyTorch and the GPU. Raises StageError where they are not what the wheels were built for."""
    asked = "import sys,torch;print(sys.version.split()[0],torch.__version__,torch.cuda.is_available() and torch.cuda.get_device_name())"
    try:
        told = subprocess.run([sys.executable, "-c", asked], check=False, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise StageError("importing torch took more than 120 s") from None
    if told.returncode != 0:
        raise StageError(f"{sys.executable} has no PyTorch that works; PYTHON names another interpreter\n{told.stderr[-500:]}")
    python, torch, gpu = told.stdout.strip().split(" ", 2)
    if not python.startswith("3.12.") or not torch.startswith("2.11.") or gpu == "False":
        raise StageError(f"Python {python}, PyTorch {torch}, GPU {gpu}: the wheels are for Python 3.12, PyTorch 2.11 and a GPU")
    return f"Python {python}, PyTorch {torch}, {gpu}"


def main() -> int:
    given = options()
    argv = [sys.executable, str(HERE / "measure.py"), *sys.argv[1:], "--until", str(given.until)]
    if given.cpu or given.dry_run:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            mend = "set PYTHON to one that concur is installed for, as in PYTHON=.venv/bin/python"
            print(f"run: {sys.executable} lacks {', '.join(missing)}; {mend}", file=sys.stderr)
            return 1
        kept = dict(os.environ)
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT / "src"), kept.get("PYTHONPATH")]))
    else:
        began = time.monotonic()
        try:
            wheels_in(given.wheels)  # said at once, not after PyTorch's import
            argv += ["--machine", machine()]
            print(f"run: {argv[-1]}", flush=True)
            site = install(given.wheels.absolute(), given.work.absolute(), min(INSTALL_S, given.until - began))
        except StageError as stopped:
            print(f"run: {stopped}", file=sys.stderr)
            return 1
        print(f"run: installed in {time.monotonic() - began:.0f} s", flush=True)
        kept = environment(site, given.work.absolute(), os.environ)
    os.execve(sys.executable, argv, kept)  # the same process goes on, with the packages it needs
    return 0  # not reached


if __name__ == "__main__":
    sys.exit(main())
