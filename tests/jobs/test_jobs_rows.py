from pathlib import Path

from concur_batch.jobs.rows import Read, read_tasks, where_prefix
from concur_batch.jobs.schema import RowSchema, SchemaOptions
from concur_batch.jobs.sources import Source


def test_rows_are_numbered_over_all_files(write):
    sources = [
        Source(Path(write({"prompt": "a"}, "", {"prompt": "b"}, name="1.jsonl")), "1", "jsonl"),
        Source(Path(write("", name="2.jsonl")), "2", "jsonl"),
        Source(Path(write("{", {}, {"prompt": "c"}, name="3.jsonl")), "3", "jsonl"),
    ]
    items = read_tasks(sources, RowSchema(SchemaOptions()), lambda _, digits: digits)
    seen = [(item.file, item.task.index, item.task.source) if isinstance(item, Read) else item.faults[0].where for item in items]
    assert seen == [(0, 0, "1:1"), (0, 1, "1:3"), "2", "3:1", "3:2", (2, 3, "3:3")]


def test_parquet_counts_rows():
    assert where_prefix(Source(Path("a.parquet"), "a.parquet", "parquet")) == "a.parquet:row "
