"""Looking on at a run that others write: begun or not, ended, broken off, taken up again, on other hosts."""

import json
import os
import socket
import subprocess
import sys

import pytest

from concur_batch import records as r
from concur_batch.cli.look.onlooker import Onlooker
from concur_batch.errors import RunDirectoryError
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter
from concur_batch.state import fold
from concur_batch.status import BROKE_OFF

EPOCH = 1e9
HOLD = """
import sys, pathlib
from concur_batch.journal.lock import RunLock
lock = RunLock(pathlib.Path(sys.argv[1])); lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


class Holding:
    """A process that holds the run directory, as one that works on the run does."""

    def __init__(self, run_dir):
        command = [sys.executable, "-c", HOLD, str(run_dir)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "held\n"

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holding(tmp_path):
    """Makes a holder; all are gone afterwards."""
    made = []

    def hold():
        made.append(Holding(tmp_path))
        return made[-1]

    yield hold
    for one in made:
        one.kill()


class Clock:
    wall = EPOCH

    def __call__(self):
        return self.wall


def begin(run_dir, epoch=EPOCH, host="h"):
    """A new segment, with its first records."""
    writer = JournalWriter(run_dir)
    writer.write(r.SegmentStarted(t=0.0, epoch=epoch, host=host, pid=1, version="0"))
    writer.write(r.BatchLoaded(t=0.0, tasks=3, rollouts=3))
    return writer


def started(i, t=1.0):
    return r.RolloutStarted(t=t, rollout=f"t{i}#0", engine="e", task=f"t{i}", k=0, index=i, seed=0)


def ended(i, t=2.0):
    return r.RolloutFinished(t=t, rollout=f"t{i}#0", engine="e", status="completed")


def look(onlooker):
    while onlooker.look():
        pass
    return onlooker


def test_before_a_run_has_begun(tmp_path, holding):
    onlooker = look(Onlooker(tmp_path / "soon", wall=Clock()))
    assert (onlooker.remark, onlooker.now, onlooker.ended) == (
        f"no run at {tmp_path / 'soon'} yet; waiting for it to begin",
        0.0,
        False,
    )
    onlooker = look(Onlooker(tmp_path, wall=Clock()))
    holding()
    assert look(onlooker).remark == f"a run is about to begin in {tmp_path}"
    writer = begin(tmp_path)
    assert look(onlooker).remark == ""
    assert (onlooker.state.rollouts, onlooker.ended) == (3, False)
    writer.close()


def test_a_run_is_waited_for_where_even_its_folder_is_not_there_yet(tmp_path):
    place = tmp_path / "runs" / "first"
    onlooker = look(Onlooker(place, wall=Clock()))
    assert f"no run at {place} yet (nor is there {tmp_path / 'runs'}); waiting" in onlooker.remark
    begin(place).close()
    assert look(onlooker).state.segments == 1


def test_it_sees_what_the_whole_journal_tells(tmp_path, holding):
    holding()
    writer, clock = begin(tmp_path), Clock()
    onlooker = look(Onlooker(tmp_path, wall=clock))
    for i in range(3):
        writer.write(started(i))
        clock.wall = EPOCH + 1.5
        assert len(look(onlooker).state.live) == i + 1
    assert onlooker.now == pytest.approx(1.5)
    writer.write(ended(0))
    writer.close()
    whole = fold(JournalReader(tmp_path).records())
    assert look(onlooker).state.ended == whole.ended
    assert onlooker.state.live == whole.live


def test_a_run_that_ended_stands_still_and_its_resume_is_followed(tmp_path, holding):
    holder, clock = holding(), Clock()
    writer = begin(tmp_path)
    writer.write(started(0))
    writer.write(r.SegmentFinished(t=4.0, cause="drained"))
    writer.close()
    onlooker = look(Onlooker(tmp_path, wall=clock))
    assert (onlooker.ended, onlooker.state.finished) == (True, "drained")
    holder.kill()
    clock.wall = EPOCH + 500
    assert (look(onlooker).now, onlooker.remark) == (4.0, "")
    holding()
    writer = begin(tmp_path, EPOCH + 600)
    writer.write(r.Sampled(t=2.0, engine="e"))
    clock.wall = EPOCH + 603
    assert not look(onlooker).ended
    assert onlooker.now == pytest.approx(3.0)
    assert onlooker.state.segments == 2
    writer.close()


def test_a_killed_process_is_told_and_so_is_one_that_takes_the_run_up(tmp_path, holding):
    holder = holding()
    writer = begin(tmp_path)
    writer.write(started(0))
    onlooker = look(Onlooker(tmp_path, wall=Clock()))
    assert not onlooker.ended
    holder.kill()
    writer.write(started(1))
    writer.close()
    assert len(look(onlooker).state.live) == 2
    assert (onlooker.ended, onlooker.state.finished) == (True, BROKE_OFF)
    assert f"concur resume {tmp_path}" in onlooker.remark
    holding()
    begin(tmp_path, EPOCH + 9).close()
    assert (look(onlooker).ended, onlooker.remark) == (False, "")


def test_records_that_come_late_take_a_broken_end_back(tmp_path):
    writer = begin(tmp_path)
    onlooker = look(Onlooker(tmp_path, wall=Clock()))
    assert onlooker.state.finished == BROKE_OFF
    writer.write(r.SegmentFinished(t=1.0, cause="finished"))  # the lock was seen gone before the last lines arrived
    writer.close()
    assert look(onlooker).state.finished == "finished"


def test_a_silent_run_here_and_on_another_host(tmp_path, holding):
    holder, clock = holding(), Clock()
    begin(tmp_path).close()
    onlooker = look(Onlooker(tmp_path, wall=clock))
    clock.wall = EPOCH + 29
    assert look(onlooker).remark == ""
    clock.wall = EPOCH + 45
    assert "no record for 45 s" in look(onlooker).remark
    assert "stands still" in onlooker.remark
    holder.kill()
    (tmp_path / "lock").write_text(json.dumps({"host": "far-away", "pid": 7, "started": 1.0}))
    remark = look(onlooker).remark
    assert "process 7 on far-away cannot be seen from here" in remark
    assert not onlooker.ended


def test_a_run_that_stood_still_before_anybody_looked(tmp_path, holding):
    holding()
    clock = Clock()
    begin(tmp_path, host=socket.gethostname()).close()
    os.utime(tmp_path / "journal" / "000001.jsonl", (EPOCH, EPOCH))
    clock.wall = EPOCH + 50
    assert "no record for 50 s" in look(Onlooker(tmp_path, wall=clock)).remark


def test_another_run_in_its_place(tmp_path, holding):
    holding()
    writer = begin(tmp_path)
    writer.write(ended(0))
    writer.close()
    onlooker = look(Onlooker(tmp_path, wall=Clock()))
    state = onlooker.state
    (tmp_path / "journal" / "000001.jsonl").unlink()
    assert look(onlooker).state is state
    assert (state.segments, state.ended) == (0, {})
    begin(tmp_path).close()
    assert look(onlooker).state.segments == 1


def test_it_writes_nothing(tmp_path):
    begin(tmp_path).close()
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    for _ in range(3):
        look(Onlooker(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == {p: s.st_mtime_ns for p, s in before.items()}


@pytest.mark.parametrize(
    ("place", "words"),
    [("file", "is a file"), ("file/run", "file is a file"), (".", r"holds no run \(there is no config.json\)")],
)
def test_a_place_without_a_run_is_one_sentence(tmp_path, place, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=words):
        Onlooker(tmp_path / place)


@pytest.mark.parametrize("command", ["status", "watch", "results", "report"])
def test_looking_on_imports_nothing_heavy(command):
    heavy = "('pyarrow', 'openai', 'pydantic', 'aiohttp', 'plotly')"
    code = f"import sys; import concur_batch.cli.look.{command}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
