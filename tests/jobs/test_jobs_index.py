import pytest

from concur_batch.errors import RunDirectoryError
from concur_batch.jobs.index import entries, read_entries, read_index, write_index
from concur_batch.jobs.load import LoadOptions, load

ROWS = [{"id": 'tab\t"and\nline', "prompt": "x"}, {"id": "ü", "prompt": "y", "n": 3}, {"prompt": "z"}]


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("options", [{}, {"shuffle": 3}, {"shuffle": 3, "limit": 2}, {"filter": "ü"}])
def test_the_index_has_the_selected_tasks_in_job_order(write, tmp_path, options, with_index):
    path = tmp_path / "job.index"
    with load([write(*ROWS)], LoadOptions(n=2, **options), spool=tmp_path, with_index=with_index) as job:
        write_index(job, path)
        expected = [(task.fingerprint, job.n(task), task.id, task.source) for task in sorted(job, key=lambda task: task.index)]
        assert list(entries(job)) == expected
    assert list(read_entries(path)) == expected
    assert list(read_index(path)) == [(entry[2], entry[1]) for entry in expected]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["job.index", "jobs.jsonl"]


def test_a_missing_foreign_or_broken_index_is_one_sentence(tmp_path):
    path = tmp_path / "job.index"
    with pytest.raises(RunDirectoryError, match="the job index is missing"):
        list(read_index(path))
    path.write_text("something\n")
    with pytest.raises(RunDirectoryError, match="is not a job index"):
        list(read_index(path))
    path.write_text('"concur job index 1"\n["00ff",1,"a","j:1"]\n["00ff",1,"b')
    with pytest.raises(RunDirectoryError, match=r"job.index:3: the job index is broken here"):
        list(read_index(path))


def test_a_folder_that_cannot_be_written_is_one_sentence(write, tmp_path):
    with load([write(*ROWS)], LoadOptions()) as job, pytest.raises(RunDirectoryError, match="cannot be written"):
        write_index(job, tmp_path / "gone" / "job.index")
