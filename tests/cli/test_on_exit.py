"""`--on-exit`: the command after a run, as a user gives it."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked import CONCUR, Program, concur

from concur_batch.cli.run.on_exit import run_command

KEEP = 'cat > told.json; echo "$CONCUR_EXIT_CODE $CONCUR_RUN_DIR" > env.txt'


def write_job(path, script, count=1):
    rows = [{"id": f"t{i}", "prompt": "x", "tools": ["shell"], "script": script} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def told(folder):
    return json.loads((folder / "told.json").read_text())


def test_the_summary_comes_on_standard_input(tmp_path):
    write_job(tmp_path / "job.jsonl", ["y"])
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", KEEP, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "env.txt").read_text().strip() == f"0 {tmp_path / 'out'}"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told(tmp_path) == summary | {"run_dir": str(tmp_path / "out"), "exit_code": 0, "error": None}
    (tmp_path / "told.json").unlink()
    write_job(tmp_path / "job.jsonl", ["y"], count=2)
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0  # it is kept with the run
    assert told(tmp_path)["segments"] == 2


def test_a_drained_run_tells_so(tmp_path):
    write_job(tmp_path / "job.jsonl", [{"tool_calls": [{"name": "shell", "arguments": {"command": "touch here; sleep 1"}}]}, "y"])
    process = Program("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", KEEP, cwd=tmp_path)
    while '"tool_started"' not in "".join(path.read_text() for path in tmp_path.glob("out/journal/*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (told(tmp_path)["exit_code"], told(tmp_path)["ended"]) == (130, "drained")


def test_a_full_disk_is_told_although_nothing_can_be_written(tmp_path):
    """A limit on the size of files stands in for the disk's end."""
    write_job(tmp_path / "job.jsonl", ["y"], count=20)
    done = subprocess.run(
        [
            "bash",
            "-c",
            'ulimit -S -f 4; exec "$0" "$@"',
            *CONCUR,
            "run",
            "job.jsonl",
            "--out",
            "out",
            "--no-live",
            "--on-exit",
            KEEP,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "series.parquet could not be written" in done.stderr
    said = told(tmp_path)
    assert (said["exit_code"], said["ended"], said["rollouts"]["total"]) == (2, "failed", 20)
    assert "cannot write (File too large)" in said["error"]["message"]


def test_results_that_cannot_be_written_are_told_with_what_the_run_came_to(tmp_path):
    write_job(tmp_path / "job.jsonl", [{"tool_calls": [{"name": "shell", "arguments": {"command": "sleep 1"}}]}, "y"])
    process = Program("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", KEEP, cwd=tmp_path)
    while not list(tmp_path.glob("out/journal/*")):
        assert process.poll() is None
        time.sleep(0.02)
    (tmp_path / "out" / ".series.parquet.part").mkdir()
    assert process.wait(60) == 2
    said = told(tmp_path)
    assert (said["exit_code"], said["ended"], said["statuses"]) == (2, "finished", {"completed": 1})
    assert "series.parquet could not be written" in said["error"]["message"]


def test_also_by_a_resume_that_only_closes_the_run(tmp_path):
    write_job(tmp_path / "job.jsonl", ["y"])
    assert concur("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", KEEP, cwd=tmp_path).returncode == 0
    (tmp_path / "told.json").unlink()
    journal = tmp_path / "out" / "journal" / "000001.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(
        "".join(line for line in lines if '"segment_finished"' not in line)
    )  # it was killed before it could say so
    (tmp_path / "out" / ".series.parquet.part").mkdir()
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 2
    said = told(tmp_path)
    assert (said["exit_code"], said["ended"], said["statuses"]) == (2, "finished", {"completed": 1})
    assert "series.parquet could not be written" in said["error"]["message"]


def test_the_command_cannot_change_the_exit_code(tmp_path):
    write_job(tmp_path / "job.jsonl", [{"tool_calls": [{"name": "shell", "arguments": {"command": "true"}}]}])
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", f"{KEEP}; exit 7", cwd=tmp_path)
    assert done.returncode == 1  # the script was too short
    assert told(tmp_path)["failures"] == {"engine": 1}
    assert "--on-exit: the command ended with exit code 7" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_may_look_at_the_run(tmp_path):
    write_job(tmp_path / "job.jsonl", ["y"])
    look = (
        f'{sys.executable} -m concur_batch.cli.main validate job.jsonl && {" ".join(CONCUR)} results "$CONCUR_RUN_DIR" > seen.txt'
    )
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--on-exit", look, cwd=tmp_path)
    assert "--on-exit" not in done.stderr
    assert "t0#0" in (tmp_path / "seen.txt").read_text()


def test_a_run_that_never_began_tells_nobody(tmp_path):
    write_job(tmp_path / "job.jsonl", ["y"])
    done = concur("run", "job.jsonl", "--engine", "http://127.0.0.1:9", "--no-live", "--on-exit", KEEP, "--set",
                  "engine.start_wait_s=0", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 3
    assert not (tmp_path / "told.json").exists()


TOLD = {"run_dir": "/d", "exit_code": 0}


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("true", None),  # reads nothing
        ("exit 3", "exit code 3"),
        ("no-such-program", "exit code 127"),
        ("kill -9 $$", "signal 9"),
        ("a\0b", "could not be started"),
    ],
)
def test_what_goes_wrong_is_told_in_words(command, problem):
    said = run_command(command, TOLD, 60.0)
    assert said is None if problem is None else problem in said


def pids(path):
    return [int(line) for line in path.read_text().split()]


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False


def test_nothing_of_it_outlives_it(tmp_path):
    file = tmp_path / "pids"
    assert run_command(f"sleep 600 & echo $! > {file}", TOLD, 60.0) is None
    assert "longer than 0.5 s" in run_command(f"sleep 600 & echo $! >> {file}; sleep 600", TOLD, 0.5)
    for _ in range(400):  # a killed process takes a moment to be gone
        if not any(map(alive, pids(file))):
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {[pid for pid in pids(file) if alive(pid)]}")


def test_a_signal_ends_it_and_is_no_fault():
    assert run_command("kill -TERM $PPID; sleep 600", TOLD, 600.0) == "was interrupted"
    assert run_command("kill -INT $PPID; sleep 600", TOLD, 600.0) == "was interrupted"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
