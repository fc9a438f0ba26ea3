from __future__ import annotations

import subprocess

import psutil

from concur_batch.toolbox.processes.environment import MARK
from concur_batch.toolbox.processes.strays import kill_strays


def test_only_processes_with_the_token_are_killed() -> None:
    stray = subprocess.Popen(["/bin/sleep", "60"], env={MARK: "a" * 24})
    other = subprocess.Popen(["/bin/sleep", "60"], env={MARK: "b" * 24})
    try:
        assert kill_strays("a" * 24) == 1
        assert not psutil.pid_exists(stray.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        stray.wait()
