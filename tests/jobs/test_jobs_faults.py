from pathlib import Path

import pytest

from concur_batch.errors import InputError
from concur_batch.jobs.faults import Fault, FaultList, JobFaults


def test_a_fault_reads_file_line_field_and_text():
    assert str(Fault("jobs.jsonl:7", "n", "is 0; should be 1")) == "jobs.jsonl:7: n: is 0; should be 1"
    assert str(Fault("jobs.jsonl", "", "is empty")) == "jobs.jsonl: is empty"


def test_twenty_are_told_and_the_rest_counted():
    faults = FaultList()
    for line in range(25):
        faults.add(Fault(f"a:{line}", "", "bad"))
    with pytest.raises(JobFaults) as caught:
        faults.raise_if_any()
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0] == "a:0: bad"
    assert lines[-1] == "and 5 more"


def test_files_are_named_from_a_folder_and_what_is_the_users_stays_as_it_is():
    there, below = Path("/data/a"), Fault("/data/a/j.jsonl:3", "id", '"/data/a/x" already stands at /data/a/j.jsonl:1')
    assert str(JobFaults([below]).seen_from(there)) == 'j.jsonl:3: id: "/data/a/x" already stands at j.jsonl:1'
    elsewhere = Fault("/mnt/data/a/j.jsonl:3", "id", '"x" already stands at /mnt/data/a/j.jsonl:1')
    assert str(JobFaults([elsewhere]).seen_from(there)) == str(elsewhere)


def test_no_fault_raises_nothing():
    FaultList().raise_if_any()
