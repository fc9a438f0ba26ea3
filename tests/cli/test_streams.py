"""Standard streams that are closed, full, or that nobody reads: what is said is lost, and nothing else."""

import json
import os
import subprocess

import pytest
from forked import CONCUR, concur


@pytest.fixture
def job(tmp_path):
    rows = [{"id": f"t{i}", "prompt": "p", "script": ["done"]} for i in range(3)]
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def ran(folder, redirections, *arguments):
    words = " ".join([*CONCUR, *(arguments or ("run", "job.jsonl", "--out", "out")), redirections])
    return subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("redirections", ["<&- >&- 2>&-", "2>&-", "2>/dev/full", "<&-"])
def test_a_run_goes_to_its_end(job, redirections):
    assert ran(job, redirections).returncode == 0
    assert json.loads((job / "out" / "summary.json").read_text())["statuses"] == {"completed": 3}


@pytest.mark.parametrize(("script", "code"), [("done", 2), ({"tool_calls": [{"name": "look", "arguments": {}}]}, 1)])
@pytest.mark.parametrize("redirections", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_also_where_there_is_no_room_for_what_it_says(job, script, code, redirections):
    (job / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "p", "script": [script]}) + "\n")
    done = ran(job, redirections, "run", "job.jsonl", "--out", "out", "--on-exit", "'echo $CONCUR_EXIT_CODE > code'")
    assert (done.returncode, (job / "code").read_text()) == (code, f"{code}\n")
    said = "concur: standard output could not be written (No space left on device); the run went on, and its results are in out\n"
    assert done.stderr.endswith(said) or redirections.endswith("2>/dev/full")
    assert json.loads((job / "out" / "summary.json").read_text())["rollouts"]["ended"] == 1


def test_also_where_its_reader_has_left(job):
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*CONCUR, "run", "job.jsonl", "--out", "out"], cwd=job, stdout=writing, stderr=writing, timeout=60, check=False
    )
    os.close(writing)
    assert result.returncode == 0
    assert json.loads((job / "out" / "summary.json").read_text())["statuses"] == {"completed": 3}


def test_a_fault_keeps_its_exit_code(job):
    assert ran(job, "2>/dev/full", "run", "other.jsonl").returncode == 2


LOOKS = [
    ("status", "out"),
    ("status", "out", "--json"),
    ("results", "out"),
    ("results", "out", "--open", "t0"),
    ("report", "out"),
    ("report", "out", "--json"),
    ("report", "out", "--html", "-"),
    ("watch", "out", "--once"),
    ("watch", "out", "--exit"),
]
OTHERS = [
    ("--help",),
    ("--version",),
    ("validate", "job.jsonl"),
    ("simulate", "--agents", "2"),
    ("simulate", "--agents", "2", "--json"),
    ("compare", "--agents", "2", "--workers", "1"),
]
NOBODY = "http://127.0.0.1:9"


def test_that_there_is_no_room_is_one_sentence(job):
    assert concur("run", "job.jsonl", "--out", "out", cwd=job).returncode == 0
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        for arguments in [*LOOKS, *OTHERS, ("engine", "sim", "--port", "0"), ("engine", "check", NOBODY, "--json")]:
            result = concur(*arguments, cwd=job, stdout=full)
            assert result.returncode == 2, arguments
            assert result.stderr == "concur: standard output could not be written (No space left on device)\n"


def test_a_program_ends_as_python_does_where_there_is_no_room(job):
    """What is left of its output is written once more when the interpreter ends."""
    for arguments in (("--version",), ("validate", "job.jsonl"), ("validate", "other.jsonl")):
        result = ran(job, ">/dev/full", *arguments)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), arguments


def test_a_reader_that_has_left_is_no_fault(job):
    assert concur("run", "job.jsonl", "--out", "out", cwd=job).returncode == 0
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in [*LOOKS, *OTHERS]:
        result = concur(*arguments, cwd=job, stdout=writing)
        assert (result.returncode, result.stderr) == (0, ""), arguments
    os.close(writing)


def test_a_fault_is_one_whether_its_reader_has_left_or_not(job):
    reading, writing = os.pipe()
    os.close(reading)
    for arguments, code in ((("engine", "check", NOBODY, "--json"), 3), (("validate", "other.jsonl"), 2), (("status", "no"), 2)):
        assert concur(*arguments, cwd=job, stdout=writing).returncode == code, arguments
    os.close(writing)


def test_watching_ends_with_its_reader(job):
    """The run is awaited all the while, so that nothing else would end it."""
    reading, writing = os.pipe()
    os.close(reading)
    result = concur("watch", "not-yet", cwd=job, stdout=writing, timeout=30)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, "")
