"""Finds what is left of a command whose supervisor was killed: processes that carry the call's token, or came to the warden."""

from __future__ import annotations

import psutil

from concur_batch.toolbox.processes.environment import MARK


def kill_strays(token: str, warden: int | None = None) -> int:
    """Kill all processes whose environment carries the token, and all that the warden (its process id) has adopted, until none is
    found; how many there were. Slow: use a thread.
    """
    killed = 0
    for _ in range(100):
        found = {process for process in psutil.process_iter() if _carries(process, token)}
        found.update(_adopted(warden) if warden is not None else ())
        for process in found:
            try:
                process.kill()
                process.wait(1)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.TimeoutExpired):
                continue
        killed += len(found)
        if not found:
            break
    return killed


def _carries(process: psutil.Process, token: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == token
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _adopted(warden: int) -> list[psutil.Process]:
    """Supervisors are forks of the warden, with its command line; whatever else is its child has lost its own supervisor."""
    try:
        process = psutil.Process(warden)
        line = process.cmdline()
        return [child for child in process.children() if _is_other(child, line)]
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []


def _is_other(process: psutil.Process, line: list[str]) -> bool:
    try:
        return process.cmdline() != line
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False
