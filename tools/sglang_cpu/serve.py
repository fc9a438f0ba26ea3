"""Starts the SGLang server of this Python's environment, says when it is ready, and sees to its end."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import tiny_model

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1
POLITE_S = 6.0  # SGLang may look only every 5 s whether it is to end
EPILOG = """Everything else is given to sglang.launch_server as it is, e.g. --enable-session-radix-cache.
The server ends with this program, and this program with the one that started it."""

ENVIRONMENT = {
    "SGLANG_USE_CPU_ENGINE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
# Unless the user says otherwise. With two OpenMP threads on two busy cores, their waiting made both models many times slower.
DEFAULTS = {"OMP_NUM_THREADS": "1"}
FLAGS = shlex.split(
    "--load-format dummy --device cpu --dtype bfloat16 --served-model-name tiny --random-seed 1 --context-length 16384 "
    "--max-running-requests 64 --attention-backend torch_native --sampling-backend pytorch --grammar-backend none "
    "--cuda-graph-backend-decode disabled --cuda-graph-backend-prefill disabled --disable-overlap-schedule "
    "--sleep-on-idle --skip-server-warmup --enable-metrics --enable-cache-report --tool-call-parser qwen25"
)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def end_with_parent(with_signal: int) -> None:
    """Have the kernel send this process `with_signal` when the one that started it is gone (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, with_signal)


def is_ready(port: int) -> bool:
    """Whether the server takes requests."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def model_folder(name: str) -> Path:
    """Where the model of that size lies; written if this version of it is not there yet."""
    version = hashlib.sha256(Path(tiny_model.__file__).read_bytes()).hexdigest()[:12]
    folder = Path(sys.prefix) / "models" / f"{name}-{version}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")  # another server may be started at the same moment
        tiny_model.build(unfinished, tiny_model.SIZES[name])
        with contextlib.suppress(OSError):
            unfinished.rename(folder)
    return folder


def start(port: int, size: str, pool_tokens: int, extra: Sequence[str], log: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """The server's first process, in a process group of its own so that all of it can be ended together."""
    model = model_folder(size)
    command = [sys.executable, "-W", "ignore", "-m", "sglang.launch_server", "--model-path", str(model)]
    command += ["--host", HOST, "--port", str(port), "--max-total-tokens", str(pool_tokens), *FLAGS, *extra]
    return subprocess.Popen(
        command,
        env={**DEFAULTS, **os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,
        preexec_fn=lambda: end_with_parent(signal.SIGKILL),  # noqa: PLW1509 - there are no threads here
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers; first politely, and the first process alone: SGLang takes the end of its workers for a
    crash, and looks for the cause.
    """
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(POLITE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # the workers are in its process group
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(5)


def options(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those of the server."""
    parser = argparse.ArgumentParser(prog="serve", description="The real SGLang on a CPU.", epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0, help="loopback port; default: a free one")
    parser.add_argument("--model", choices=tiny_model.SIZES, default="tiny", help="tiny: fast; ffn: a cached prefix saves time")
    parser.add_argument("--pool", type=int, default=20_000, metavar="TOKENS", help="size of the KV pool (default 20000)")
    parser.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="end by itself after that time")
    parser.add_argument("--patience", type=float, default=180, metavar="SECONDS", help="how long to wait for it to get ready")
    parser.add_argument("--log", type=Path, metavar="FILE", help="where the server's own output goes; default: standard error")
    return parser.parse_known_args(argv)


def main() -> int:
    """Serve until told to end. Exit code 0: ended as asked; 1: the server did not start, or died."""
    ours, extra = options()
    parent = os.getppid()
    end_with_parent(signal.SIGTERM)

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    if os.getppid() != parent:  # it went before the kernel was told
        return 0

    port = ours.port or free_port()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(ours.log.open("ab")) if ours.log else sys.stderr.fileno()
        server = start(port, ours.model, ours.pool, extra, log)
        stack.callback(stop, server)
        while not is_ready(port):
            if server.poll() is not None or time.monotonic() - began > ours.patience:
                print(f"serve: the server did not get ready; see {ours.log or 'its output above'}", file=sys.stderr)
                return 1
            time.sleep(0.2)
        print(f"http://{HOST}:{port}", flush=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            left = None if ours.seconds is None else max(0.0, ours.seconds - (time.monotonic() - began))
            print(f"serve: the server ended with code {server.wait(left)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
