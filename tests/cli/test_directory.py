"""Where a new run goes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from concur_batch.cli import directory
from concur_batch.errors import RunDirectoryError


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("a/b-1.v2.jsonl", "b-1"),
        ("-", "stdin"),
        ("*.jsonl", "jobs"),
        ("part-[0-9]*.jsonl", "part-_0-9"),
        ("größe 2.parquet", "größe_2"),
    ],
)
def test_it_is_named_after_the_first_job_file_in_what_a_name_is_made_of(tmp_path, monkeypatch, job, name):
    monkeypatch.chdir(tmp_path)
    chosen = directory.make_new(None, [job, "c.jsonl"])
    assert chosen.directory.name.split("-", 2)[2] == name


def test_of_many_that_want_the_same_name_at_once_each_gets_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: directory.make_under_runs("same"), range(40)))
    assert len({one.directory for one in made}) == 40


def test_a_link_to_nowhere_in_place_of_runs_is_refused(tmp_path, monkeypatch):
    """As to a disk that is not there: every name under it seemed to be taken, without end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("not-mounted")
    with pytest.raises(RunDirectoryError, match=r"^runs: cannot be created \(File exists\); give another --out$"):
        directory.make_under_runs("same")


def test_a_file_that_has_the_name_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "same").touch()
    assert directory.make_under_runs("same").directory.name == "same-2"
