import gzip
import io
import os

import pytest
import zstandard

from concur_batch.jobs.faults import JobFaults
from concur_batch.jobs.sources import find_sources, read_rows

ROW = b'{"prompt": "x"}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(*named, folder):
    with pytest.raises(JobFaults) as caught:
        find_sources(named, folder)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", ROW, "jsonl"),
        ("a.v2.JSONL", ROW, "jsonl"),
        ("a.jsonl.gz", gzip.compress(ROW), "gz"),
        ("a.parquet", b"PAR1", "parquet"),
        ("rows.txt", b'\xef\xbb\xbf {"prompt": 1}', "jsonl"),
        ("rows", ROW, "jsonl"),
    ],
)
def test_the_kind_is_told_by_suffix_or_first_bytes(folder, name, content, kind):
    (folder / name).write_bytes(content)
    assert [(source.name, source.kind) for source in find_sources([name], folder)] == [(name, kind)]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.jsonl", None, "none.jsonl: no such file; check the path"),
        ("no*.jsonl", None, "no*.jsonl: no file matches this pattern; check the path"),
        ("a.jsonl", b"", "a.jsonl: is empty; should hold one task per line"),
        ("a.jsonl", gzip.compress(ROW), "a.jsonl: holds gz data, which its name does not say; rename it to end in .jsonl.gz"),
        ("a.data", b"PAR1", "a.data: holds parquet data, which its name does not say; rename it to end in .parquet"),
        ("a.json", b"[{}]", "a.json: is one JSON list; should be one object per line: jq -c '.[]' a.json > a.jsonl"),
        (
            "p.parquet.gz",
            gzip.compress(b"PAR1"),
            "p.parquet.gz: is compressed Parquet, which is not read; decompress it first: gunzip -c p.parquet.gz > p.parquet",
        ),
        (
            "p.jsonl.zst",
            zstandard.compress(b"PAR1"),
            "p.jsonl.zst: is compressed Parquet, which is not read; decompress it first: zstd -dc p.jsonl.zst > p.parquet",
        ),
        ("a.csv", b"id,prompt\n", "a.csv: is not a job file; should be .jsonl, .jsonl.gz, .jsonl.zst or .parquet"),
    ],
)
def test_what_is_no_job_file_is_one_clear_sentence(folder, name, content, text):
    if content is not None:
        (folder / name).write_bytes(content)
    assert faults(name, folder=folder) == [text]


def test_an_empty_name_is_told_as_one(folder):
    assert faults("", folder=folder) == [
        "a job file's name is empty; give a .jsonl or .parquet file, or - for standard input",
    ]


def test_a_directory_and_a_pipe_are_refused_with_a_mend(folder):
    (folder / "data").mkdir()
    os.mkfifo(folder / "pipe")
    assert faults("data/", "pipe", folder=folder) == [
        "data/: is a directory; name the files in it, for instance 'data/*.jsonl'",
        "pipe: is not a regular file; pipe it in and name it -",
    ]


@pytest.mark.parametrize("suffix", [".jsonl", "*.jsonl"])
def test_a_name_that_cannot_be_looked_up_is_told_as_one(folder, suffix):
    name = "x" * 300 + suffix
    assert faults(name, folder=folder) == [f"{name}: cannot be read (File name too long); check the file and its permissions"]


def test_globs_are_sorted_and_a_file_counts_once(folder):
    for name in ("b.jsonl", "a.jsonl"):
        (folder / name).write_bytes(ROW)
    assert [source.name for source in find_sources(["*.jsonl"], folder)] == ["a.jsonl", "b.jsonl"]
    assert faults("*.jsonl", "./a.jsonl", folder=folder) == ["./a.jsonl: is named twice; name it once"]


def test_a_name_with_pattern_signs_that_exists_is_that_file(folder):
    (folder / "a[1].jsonl").write_bytes(ROW)
    assert [source.name for source in find_sources(["a[1].jsonl"], folder)] == ["a[1].jsonl"]


def test_standard_input_is_spooled_once_and_read_again(folder):
    first = find_sources(["-"], folder, io.BytesIO(ROW * 3))
    assert (folder / "stdin.jsonl").read_bytes() == ROW * 3
    again = find_sources(["-"], folder, io.BytesIO(b""))
    assert again == first
    assert [str(item.line) for item in read_rows(again[0])] == ["1", "2", "3"]
    assert first[0].name == "stdin"


def test_standard_input_of_another_kind_is_refused(folder):
    with pytest.raises(JobFaults, match=r"stdin: holds gz data.*save it in a file that ends in \.jsonl\.gz"):
        find_sources(["-"], folder, io.BytesIO(gzip.compress(ROW)))
    (folder / "stdin.jsonl").unlink()
    with pytest.raises(JobFaults, match=r"stdin: is compressed Parquet.*gunzip -c > jobs\.parquet, and name that file"):
        find_sources(["-"], folder, io.BytesIO(gzip.compress(b"PAR1")))


def test_a_damaged_file_is_a_fault_after_its_sound_rows(folder):
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(ROW * 10)[:-4])
    (source,) = find_sources(["a.jsonl.gz"], folder)
    *_, last = read_rows(source)
    assert str(last).startswith("a.jsonl.gz: the gzip data breaks off")


def test_a_file_that_may_not_be_read_is_told(folder):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (folder / "a.jsonl").write_bytes(ROW)
    (folder / "a.jsonl").chmod(0)
    assert faults("a.jsonl", folder=folder) == ["a.jsonl: cannot be read (Permission denied); check the file and its permissions"]
