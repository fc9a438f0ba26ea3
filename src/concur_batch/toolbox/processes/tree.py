"""All descendants of a process: what they use, and how they are ended. Linux, read from /proc; standard library only."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
PASSES = 3000  # of a millisecond and more each
_HAS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")  # noqa: PTH110  (pathlib costs a start)


class Usage(NamedTuple):
    """What a set of processes uses: how many live, CPU seconds so far, resident bytes now."""

    processes: int
    cpu_s: float
    resident_bytes: int


class Reaped(NamedTuple):
    """Wait status by process id, and whether any child is left, living or not."""

    ended: dict[int, int]
    left: bool


def descendants(root: int) -> Iterator[int]:
    """Process ids below `root`, zombies among them, read as asked for: a tree may grow faster than it is read."""
    children = _children if _HAS_CHILDREN else _children_by_scan()
    queue = [root]
    while queue:
        below = children(queue.pop())
        yield from below
        queue += below


def usage(pids: Iterable[int]) -> Usage:
    """The sum over these processes; those of them that are gone or zombies do not count."""
    count, ticks, pages = 0, 0, 0
    for pid in pids:
        fields = _stat(pid)
        if fields is None or fields[0] == b"Z":
            continue
        count += 1
        ticks += sum(map(int, fields[11:15]))  # own and waited-for children's, user and system
        pages += int(fields[21])
    return Usage(count, ticks / _TICKS, pages * _PAGE)


def kill_descendants(root: int, group: int) -> bool:
    """Kill all below the calling process `root`, their subreaper; most are in process group `group`.

    False: something could not be killed within seconds, as it hangs in the kernel.
    """
    own_group = os.getpgid(root)
    _kill(os.killpg, group)  # in one stroke: no fork bomb outruns that
    for _ in range(PASSES):
        # the kernel's word: whoever is left is, or will be, a child of the subreaper. Lists read from /proc may lack some
        if not reap().left:
            return True
        struck = {own_group}
        for pid in itertools.islice(descendants(root), 10_000):
            with contextlib.suppress(OSError):
                other = os.getpgid(pid)
                if other not in struck:
                    struck.add(other)
                    _kill(os.killpg, other)
            _kill(os.kill, pid)
        if reap().left:
            select.select([], [], [], 0.001)
    return False


def _kill(how: Callable[[int, int], None], whom: int) -> None:
    with contextlib.suppress(OSError):  # it ended meanwhile
        how(whom, signal.SIGKILL)


def reap() -> Reaped:
    """Collect all ended children of the calling process."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return Reaped(ended, left=False)
        if pid == 0:
            return Reaped(ended, left=True)
        ended[pid] = status


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  (called often)
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except OSError:
        pass  # it ended meanwhile
    return found


def _children_by_scan() -> Callable[[int], list[int]]:
    """As `_children`, for kernels without that file: one pass over all processes."""
    by_parent: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        fields = _stat(int(name)) if name.isdigit() else None
        if fields is not None:
            by_parent.setdefault(int(fields[1]), []).append(int(name))
    return lambda pid: by_parent.get(pid, [])


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()
