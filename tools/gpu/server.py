"""The SGLang server of a comparison: its command line, its start, its end."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from install import CHECKOUT, StageError

HOST = "127.0.0.1"
NAME = "qwen3-8b-dummy"
FLAGS = shlex.split(
    "--load-format dummy --dtype bfloat16 --random-seed 1 --max-running-requests 128 "
    "--attention-backend triton --sampling-backend pytorch --grammar-backend none "
    "--cuda-graph-backend-prefill breakable --cuda-graph-max-bs-decode 64 --enable-metrics --enable-cache-report"
)
# Tried in turn where the one before does not start: the plain server, then without what compiles and captures most.
FALLBACKS: tuple[tuple[str, ...], ...] = (
    (),
    ("--cuda-graph-backend-prefill", "disabled", "--cuda-graph-backend-decode", "disabled", "--disable-overlap-schedule"),
)
CPU_SERVE = CHECKOUT / "tools" / "sglang_cpu" / "serve"
_PR_SET_PDEATHSIG = 1
_POLL_S = 1.0
_POLITE_S = 10.0
_TOLD_EVERY_S = 20.0


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def gpu_argv(model: Path, port: int, pool: int, context: int, extra: Sequence[str]) -> list[str]:
    """SGLang itself, on loopback only."""
    argv = [sys.executable, "-W", "ignore", "-m", "sglang.launch_server", "--model-path", str(model), "--served-model-name", NAME]
    argv += ["--host", HOST, "--port", str(port), "--max-total-tokens", str(pool), "--context-length", str(context)]
    return [*argv, *FLAGS, *extra]


def cpu_argv(port: int, pool: int, seconds: float, extra: Sequence[str]) -> list[str]:
    """The same server with the small model, tools/sglang_cpu; it ends by itself after `seconds`."""
    return [str(CPU_SERVE), "--port", str(port), "--pool", str(pool), "--for", str(round(seconds)), *extra]


def answers(port: int) -> bool:
    """Whether the server takes requests. SGLang generates a token to find out, which costs nothing before the first run."""
    connection = http.client.HTTPConnection(HOST, port, timeout=15)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_lines(log: Path, count: int) -> str:
    """The end of a log."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return ""


class Server:
    """A running server in a process group of its own. `stop` ends all of it."""

    def __init__(self, argv: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> None:
        self.url = f"http://{HOST}:{port}"
        self.port = port
        self.log = log
        with log.open("ab") as out:
            out.write(f"$ {shlex.join(argv)}\n".encode())
            out.flush()
            self._process = subprocess.Popen(
                argv,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                process_group=0,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - there are no threads here
            )
        self.group = self._process.pid

    def wait(self, seconds: float, say: Callable[[str], None]) -> None:
        """Return when it answers. Raises StageError, with the end of its log, where it ends or takes too long."""
        began = told = time.monotonic()
        while not answers(self.port):
            waited = time.monotonic() - began
            if self._process.poll() is not None:
                raise StageError(f"the server ended with code {self._process.returncode}:\n{last_lines(self.log, 40)}")
            if waited > seconds:
                raise StageError(f"the server was not ready after {seconds:.0f} s:\n{last_lines(self.log, 40)}")
            if time.monotonic() - told > _TOLD_EVERY_S:
                told = time.monotonic()
                say(f"... {last_lines(self.log, 1)[:160]}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """First politely, and the first process alone: SGLang takes the end of its workers for a crash, and looks for the cause."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLITE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)  # the workers are in its process group
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
