"""Start, pin, measure and end child processes: the echo server, the program, the bare loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

BENCH = Path(__file__).parent
POLL_SECONDS = 0.1


class Usage(NamedTuple):
    """What one child came to, its own ended children included in the CPU."""

    exit_code: int
    cpu_seconds: float
    user_seconds: float
    wall_seconds: float
    peak_kib: int  # VmHWM of the child itself, as last seen
    uvloop: bool  # whether it had uvloop's library loaded


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The child's environment: ours, without what would steer the program or send it elsewhere."""
    dropped = ("CONCUR_", "OPENAI_", "SGLANG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped) and not k.lower().endswith("_proxy")}
    return kept | {"PYTHONHASHSEED": "0", "NO_COLOR": "1"} | (extra or {})


def pinned_to(core: int | None) -> Callable[[], None] | None:
    """For `preexec_fn`: bind the child to that core, where there is one."""
    if core is None or core not in os.sched_getaffinity(0):
        return None
    return lambda: os.sched_setaffinity(0, {core})


def start(argv: Sequence[str], core: int | None, log: Path, extra: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """The child, its output in `log`, in a process group of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(extra),
            preexec_fn=pinned_to(core),  # noqa: PLW1509  this program has one thread
            start_new_session=True,
        )


def measured(argv: Sequence[str], *, core: int | None, log: Path, timeout: float, extra: dict[str, str] | None = None) -> Usage:
    """Run to the end. Raises TimeoutError, after a kill, when that takes more than `timeout` seconds."""
    begun = time.monotonic()
    child = start(argv, core, log, extra)
    peak, uvloop = 0, False
    while True:
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, peak_kib(child.pid))
        uvloop = uvloop or has_mapped(child.pid, "/uvloop/")
        if time.monotonic() - begun > timeout:
            child.kill()
            child.wait()
            raise TimeoutError(f"{argv[0]} ran longer than {timeout:.0f} s; its output is in {log}")
        time.sleep(POLL_SECONDS)
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    return Usage(child.returncode, cpu, used.ru_utime, time.monotonic() - begun, peak, uvloop)


def peak_kib(pid: int) -> int:
    """Peak resident set so far in KiB (VmHWM); 0 once the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def has_mapped(pid: int, part: str) -> bool:
    """Whether a file with `part` in its path is mapped into that process now."""
    with suppress(OSError):
        return part in Path(f"/proc/{pid}/maps").read_text()
    return False


@contextmanager
def echo_server(*, calls: int, latency: float, core: int | None = 1) -> Iterator[str]:
    """Its URL, for as long as the block runs."""
    argv = [sys.executable, str(BENCH / "echo_server.py"), "--calls", str(calls), "--latency", str(latency)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment(), preexec_fn=pinned_to(core)) as child:  # noqa: PLW1509
        try:
            url = child.stdout.readline().strip() if child.stdout else ""
            if not url:
                raise RuntimeError("the echo server did not start: is uvicorn with httptools and uvloop installed?")
            yield url
        finally:
            child.kill()


def counts(url: str) -> dict[str, Any]:
    """What the echo server has counted so far."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/counts", timeout=30) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer
