"""Standard streams that are closed, full, or that nobody reads: what is said is lost, and nothing else."""

import json
import os
import subprocess

import pytest
from program import CONCUR


@pytest.fixture
def job(tmp_path):
    rows = [{"id": f"t{i}", "prompt": "p", "script": ["done"]} for i in range(3)]
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def ran(folder, redirections, *arguments):
    words = " ".join([*CONCUR, *(arguments or ("run", "job.jsonl", "--out", "out")), redirections])
    return subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("redirections", ["<&- >&- 2>&-", "2>&-", ">/dev/full 2>/dev/full", "<&-"])
def test_a_run_goes_to_its_end(job, redirections):
    assert ran(job, redirections).returncode == 0
    assert json.loads((job / "out" / "summary.json").read_text())["statuses"] == {"completed": 3}


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
