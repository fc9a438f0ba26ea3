"""Finds what is left of a command whose supervisor was killed: processes that carry the call's token."""

from __future__ import annotations

import psutil

from concur_batch.toolbox.processes.environment import MARK


def kill_strays(token: str) -> int:
    """Kill all processes whose environment carries the token, until none is found; how many there were. Slow: use a thread."""
    killed = 0
    for _ in range(100):
        found = [process for process in psutil.process_iter() if _carries(process, token)]
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
