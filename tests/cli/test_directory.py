"""Where a new run goes."""

import pytest

from concur_batch.cli import directory


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
    chosen = directory.choose(None, [job, "c.jsonl"])
    assert chosen.name.split("-", 2)[2] == name
