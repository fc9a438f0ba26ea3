"""One writer at a time, and a dead one does not count."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

from concur_batch.errors import RunDirectoryError
from concur_batch.journal.lock import RunLock, holder_of

HOLD = """
import sys, pathlib
from concur_batch.journal.lock import RunLock
lock = RunLock(pathlib.Path(sys.argv[1])); lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_living_holder_is_named(tmp_path, other):
    with pytest.raises(RunDirectoryError, match=f"process {other.pid} on this host"):
        RunLock(tmp_path).acquire()
    assert holder_of(tmp_path).pid == other.pid


def test_a_killed_holder_is_taken_over(tmp_path, other):
    other.kill()
    other.wait()
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path) as lock:
        lock.acquire()
        assert holder_of(tmp_path).alive


def test_a_killed_holder_that_nobody_has_waited_for_is_dead_all_the_same(tmp_path, other):
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path) as lock:
        lock.acquire()


def test_a_holder_on_another_host_needs_take_over(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"host": f"not-{socket.gethostname()}", "pid": 7, "started": 1.0}))
    with pytest.raises(RunDirectoryError, match="--take-over"):
        RunLock(tmp_path).acquire()
    lock = RunLock(tmp_path)
    lock.acquire(take_over=True)
    lock.release()
    assert holder_of(tmp_path) is None


def test_a_holder_says_since_when(tmp_path):
    before = time.time()
    with RunLock(tmp_path) as lock:
        lock.acquire()
        assert before <= holder_of(tmp_path).taken <= time.time()
        content = json.loads((tmp_path / "lock").read_text())
        del content["taken"]  # as an earlier version wrote it
        (tmp_path / "lock").write_text(json.dumps(content))
        assert holder_of(tmp_path).taken == 0


def test_a_pid_that_was_given_again_is_not_the_holder(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0}))
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path) as lock:
        lock.acquire()


@pytest.mark.parametrize("without", [(), ("birth",)])  # as an earlier version wrote it
def test_a_step_of_the_clock_kills_nobody(tmp_path, other, without):
    content = json.loads((tmp_path / "lock").read_text())
    content["started"] -= 3600
    (tmp_path / "lock").write_text(json.dumps({key: value for key, value in content.items() if key not in without}))
    assert holder_of(tmp_path).alive


def test_a_pid_that_was_given_again_at_the_same_time_is_not_the_holder(tmp_path):
    with RunLock(tmp_path) as lock:
        lock.acquire()
        content = json.loads((tmp_path / "lock").read_text())
    (tmp_path / "lock").write_text(json.dumps(content | {"birth": "another-boot 1"}))
    assert holder_of(tmp_path) is None


def test_a_full_disk_is_one_sentence(tmp_path):
    (tmp_path / "lock").touch()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the limit on file size stands in for the disk's end
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"lock: cannot be written .*; mend that, and give the same command again"):
            RunLock(tmp_path).acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    RunLock(tmp_path).acquire()
