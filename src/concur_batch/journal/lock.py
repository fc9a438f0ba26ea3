"""One writing process per run directory. The lock names its holder and falls with it.

An advisory `flock` is held while the process lives, so a dead holder's lock is free by itself on the same host. Where the
file system has no locks, and for holders on other hosts, the written name decides.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import psutil

from concur_batch.errors import RunDirectoryError


class _Content(msgspec.Struct, kw_only=True):
    host: str
    pid: int
    started: float  # of the process, seconds since 1970: a pid may be given again
    taken: float = 0.0  # when, likewise
    birth: str = ""  # boot and clock tick of its start, which no step of the clock changes; empty where they are not told


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a run directory. `alive` None: on another host, not to be seen from here."""

    host: str
    pid: int
    alive: bool | None
    taken: float  # seconds since 1970 by the holder's clock; 0 of one that does not tell


class RunLock:
    """Taken in `acquire`, given back in `release`; usable as a context manager."""

    def __init__(self, run_directory: Path) -> None:
        self._path = run_directory / "lock"
        self._fd = -1

    def acquire(self, *, take_over: bool = False) -> None:
        """Raises RunDirectoryError naming the holder. `take_over` ignores a holder on another host."""
        try:
            self._fd = self._take(take_over=take_over)
        except OSError as error:
            raise RunDirectoryError(
                f"{self._path}: cannot be written ({error.strerror}); mend that, and give the same command again"
            ) from error

    def _take(self, *, take_over: bool) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _check_free(fd, self._path, take_over=take_over)
            me = psutil.Process()
            os.ftruncate(fd, 0)
            content = _Content(
                host=socket.gethostname(), pid=me.pid, started=me.create_time(), taken=time.time(), birth=_birth(me.pid)
            )
            os.pwrite(fd, msgspec.json.encode(content), 0)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def release(self) -> None:
        """Give it back. Calling it again does nothing."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder_of(run_directory: Path) -> Holder | None:
    """Who holds it now. None: nobody."""
    path = run_directory / "lock"
    holder = _read(path, lambda: _is_flocked(path))
    return None if holder is None or holder.alive is False else holder


def _check_free(fd: int, path: Path, *, take_over: bool) -> None:
    free = _try_flock(fd)
    holder = _read(path, lambda: free is False)  # what we hold ourselves says nothing
    held = holder is not None and holder.alive is not False and not (take_over and holder.alive is None)
    if free is False or held:
        raise RunDirectoryError(_refusal(path.parent, holder))


def _try_flock(fd: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """True: got it; False: a living process has it; None: this file system cannot tell."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _read(path: Path, is_flocked: Callable[[], bool]) -> Holder | None:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
    except (OSError, msgspec.DecodeError):
        return None
    if content.host != socket.gethostname():
        return Holder(content.host, content.pid, None, content.taken)
    try:
        process = psutil.Process(content.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and _is_the_same(process, content, is_flocked)
    except psutil.Error:
        alive = False
    return Holder(content.host, content.pid, alive, content.taken)


def _is_the_same(process: psutil.Process, content: _Content, is_flocked: Callable[[], bool]) -> bool:
    """Whether it is the one that wrote this, and no later one with its pid."""
    birth = _birth(process.pid)
    if content.birth and birth:
        return content.birth == birth
    return abs(process.create_time() - content.started) < 2.0 or is_flocked()


def _birth(pid: int) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # from the third on
        return f"{boot} {int(fields[19])}"
    except (OSError, ValueError, IndexError):
        return ""


def _is_flocked(path: Path) -> bool:
    """Whether a living process has it: after a step of the clock a process seems to have been started at another time."""
    try:
        with path.open("rb") as file:
            return _try_flock(file.fileno(), fcntl.LOCK_SH) is False
    except OSError:
        return False


def _refusal(directory: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"{directory}: another process is just taking this run directory; try again"
    if holder.alive is None:
        return (
            f"{directory}: held by process {holder.pid} on host {holder.host}; if that one is surely gone, "
            "add --take-over, else wait for it"
        )
    return (
        f"{directory}: process {holder.pid} on this host is working in it; wait for it, or stop it with: kill -INT {holder.pid}"
    )
