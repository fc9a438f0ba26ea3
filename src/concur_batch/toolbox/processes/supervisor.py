"""The process that stands over one command: it starts it, holds its tree to the bounds, and ends all of it.

It is the subreaper of the tree: whatever a command starts, however it detaches, stays below. It runs in the warden's
children; standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

from concur_batch.toolbox.processes import tree

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
FAST_POLLS = 20  # a command goes wrong early or runs on quietly
FAST_MS, SLOW_MS = 50, 250

_libc = ctypes.CDLL(None, use_errno=True)


def supervise(request: dict[str, Any], call: socket.socket, stdin: int, stdout: int) -> None:
    """Run one command to its end and report on `call`: `taken`, `started SUPERVISOR CHILD`, `ended REASON STATUS`.

    REASON is exit, stopped (the runner said so, or is gone), cpu, memory, processes or failed; STATUS is the wait status.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    adopt_orphans()
    os.setsid()
    supervisor = os.getpid()
    _tell(call, "taken\n")  # from here on the command may have run
    child = os.fork()
    if child == 0:
        _become(request, supervisor, stdin, stdout)
    os.close(stdin)
    os.close(stdout)
    _tell(call, f"started {supervisor} {child}\n")
    reason, status = _watch(request, child, call, wake_read)
    if not tree.kill_descendants(supervisor, child):
        reason = "failed"
    _tell(call, f"ended {reason} {status}\n")


def adopt_orphans() -> None:
    """Become the subreaper: the parent of whatever loses its own below the calling process. Forks do not inherit that."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _watch(request: dict[str, Any], child: int, call: socket.socket, wake: int) -> tuple[str, int]:
    poll = select.poll()
    poll.register(call.fileno(), select.POLLIN)
    poll.register(wake, select.POLLIN)
    for turn in range(sys.maxsize):
        events = [fd for fd, _ in poll.poll(FAST_MS if turn < FAST_POLLS else SLOW_MS)]
        if wake in events:
            os.read(wake, 4096)
        ended = tree.reap().ended
        if child in ended:
            return "exit", ended[child]
        if call.fileno() in events:  # the runner closed its end: it wants no more, or it died
            return "stopped", 0
        excess = _excess(request)
        if excess is not None:
            return excess, 0
    raise AssertionError


def _excess(request: dict[str, Any]) -> str | None:
    most = 4 * request["processes"]  # zombies among them, which do not count as processes
    pids = list(itertools.islice(tree.descendants(os.getpid()), most))
    used = tree.usage(pids)
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    if used.processes > request["processes"] or len(pids) == most:
        return "processes"
    if used.resident_bytes > request["memory_bytes"]:
        return "memory"
    if used.cpu_s + reaped.ru_utime + reaped.ru_stime > request["cpu_s"]:
        return "cpu"
    return None


def _become(request: dict[str, Any], supervisor: int, stdin: int, stdout: int) -> NoReturn:
    """Turn the calling process into the command."""
    try:
        os.setsid()  # its own session and group: `kill 0` reaches nobody else
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(127)
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.dup2(stdout, 2)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):  # Python's own settings would be inherited
            signal.signal(ignored, signal.SIG_DFL)
        _first_to_go_when_memory_is_short()
        os.chdir(request["cwd"])
        os.umask(0o022)
        _bound(resource.RLIMIT_CORE, 0)
        _bound(resource.RLIMIT_NOFILE, 1024)
        _bound(resource.RLIMIT_CPU, request["cpu_s"])
        _bound(resource.RLIMIT_FSIZE, request["file_bytes"])
        _bound(resource.RLIMIT_AS, request["memory_bytes"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606  (the point of it)
    except BaseException as error:  # noqa: BLE001  (a copy of the supervisor must not live on)
        os.write(2, f"{request['argv'][0]} could not be started: {error}\n".encode("utf-8", "replace"))
    os._exit(127)


def _bound(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # the kernel sends SIGXCPU at the soft limit and SIGKILL at the hard one
    resource.setrlimit(kind, (most, most + 1 if kind == resource.RLIMIT_CPU and (hard < 0 or most < hard) else most))


def _first_to_go_when_memory_is_short() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")


def _tell(call: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):  # the runner is gone; the tree is ended all the same
        call.sendall(line.encode())


def read_frame(call: socket.socket) -> bytes:
    """One message: four bytes of length, big-endian, then so many bytes. Raises EOFError where the sender is gone."""
    return _exactly(call, struct.unpack("!I", _exactly(call, 4))[0])


def _exactly(call: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = call.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
