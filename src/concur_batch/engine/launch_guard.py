"""Stands between `concur engine launch` and what it starts, so that nothing of it outlives `concur`, also when that is killed.

Run as a program, isolated from everything else; standard library only:

    launch_guard.py guard COMMAND...     run it until it ends, or standard input does; then end all that it started
    launch_guard.py tie PID COMMAND...   become it; it gets SIGTERM when its parent PID is gone (Linux)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 15.0  # for a server to end by itself: SGLang looks every 5 s whether it is asked to
_POLL_S = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def guard(command: list[str]) -> int:
    """The command's exit code; 128 + N where signal N ended it. 127: it cannot be started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of standard input is the one word that counts
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # whoever loses its parent below comes to us
    try:
        server = subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_tied_to_us,  # noqa: PLW1509 - no threads here
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    while server.poll() is None:
        if select.select([0], [], [], _POLL_S)[0] and not os.read(0, 4096):
            break
    _end(server)
    code = server.returncode if server.returncode is not None else -signal.SIGKILL
    return code if code >= 0 else 128 - code


def tie(parent: int, command: list[str]) -> None:
    """Does not return."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # else it went before the kernel was told
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    sys.exit(143)


def _tied_to_us() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # only Linux has it
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end(server: subprocess.Popen[bytes]) -> None:
    """First politely, and only the process that was started: SGLang takes the end of its workers for a crash, and studies it.

    Then whatever is left of its group and below us.
    """
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_S)
    with contextlib.suppress(OSError):  # all of it ended
        os.killpg(server.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_S)
    end = time.monotonic() + GRACE_S
    while _reap() and time.monotonic() < end:
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def _reap() -> bool:
    """Collect ended children; whether any child is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _children() -> list[int]:
    own = os.getpid()
    try:
        return [int(word) for word in Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


if __name__ == "__main__":
    if sys.argv[1] == "tie":
        tie(int(sys.argv[2]), sys.argv[3:])
    sys.exit(guard(sys.argv[2:]))
