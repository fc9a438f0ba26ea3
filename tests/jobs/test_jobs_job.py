from pathlib import Path

import pytest

from concur_batch.errors import InputError
from concur_batch.jobs.load import LoadOptions, load


def test_a_job_can_be_read_again_and_left_at_any_time(write):
    with load([write(*({"id": str(i), "prompt": "x"} for i in range(9)))], LoadOptions()) as job:
        first = iter(job)
        assert [next(first).id, next(first).id] == ["0", "1"]
        assert [task.id for task in job] == [str(i) for i in range(9)]
        assert next(first).id == "2"
        first.close()


def test_job_order_is_that_of_the_file_also_when_shuffled(write):
    name = write(*({"id": str(i), "prompt": "x"} for i in range(9)))
    with load([name], LoadOptions(shuffle=2, limit=5)) as job:
        chosen = [task.index for task in job]
        assert [task.index for task in job.in_job_order()] == sorted(chosen) != chosen


@pytest.mark.parametrize("shuffle", [None, 1])
def test_a_file_that_changed_after_the_check_is_told(write, shuffle):
    name = write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"})
    with load([name], LoadOptions(shuffle=shuffle)) as job:
        Path(name).write_text('{"id": "a", "n": 0}\n{"id": "b", "promp')
        with pytest.raises(InputError, match="the job file has changed since it was checked"):
            list(job)
